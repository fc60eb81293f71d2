//! Invalidation: the targets of a write cover every key of the reads that the write touches.
//!
//! The configuration says what a write touches; the policy decides by which names. So the policy
//! itself is asked what a touch means: for a touched read, or a read whose plan or row carries the
//! touched tag, one of the read's names must be among the targets.

use std::collections::BTreeSet;

use super::super::conditions::named;
use super::super::requests::{shown, shown_arguments};
use super::super::{Conditions, Finding};
use super::asked::{Unclear, Which};
use super::findings::Rule;
use super::logged::logged;
use super::{Exploration, until};
use crate::config::template::sources;
use crate::name::{StoreKey, StoreTag};
use crate::policy::{
    Argument, Change, Column, ColumnValue, Entity, Logged, Piece, Query, Request, Row, RowChange,
    Scope, Source, Subject, Target, Touch, Write, Written,
};

/// The values that a parameter or a column takes in turn, while the others have their usual values.
const VARIED: [Option<&str>; 9] = [
    None,
    Some(""),
    Some("~"),
    Some("42:admin"),
    Some("%3A"),
    Some("a b{c}"),
    Some("\n"),
    Some("😀"),
    Some(LONG),
];

/// Longer than any key or tag may be.
const LONG: &str = match std::str::from_utf8(&[b'x'; 600]) {
    Ok(text) => text,
    Err(_) => "",
};

/// A read that has to be covered.
#[derive(PartialEq)]
struct CoveredRead {
    request: Request,
    /// The row's columns, if the read's tags depend on the row; otherwise `None`.
    row: Option<Vec<(String, Option<String>)>>,
}

/// The names among a change's targets.
#[derive(Default)]
struct RemovedNames {
    keys: BTreeSet<String>,
    tags: BTreeSet<String>,
}

/// Where a touch takes its values from.
struct Values<'c> {
    arguments: &'c [Argument],
    /// The row as it was or as it is.
    columns: &'c [Column],
    /// The row as it was.
    before: &'c [Column],
}

impl Exploration<'_> {
    /// The writes of every entity, with generated arguments and rows, and changes of the log.
    pub(super) fn changes(&mut self, conditions: &Conditions) {
        for entity in conditions.entities() {
            for write in &entity.writes {
                let changes = changes(&entity.name, write);
                self.progress.changes.of += changes.len();
                for written in &changes {
                    if self.asked.is_over(until::TOUCHES) {
                        break;
                    }
                    self.progress.changes.done += 1;
                    self.written(conditions, write, written);
                }
            }
        }
        let changes = logged(conditions);
        self.progress.changes.of += changes.len();
        for change in changes {
            if self.asked.is_over(until::TOUCHES) {
                break;
            }
            self.progress.changes.done += 1;
            self.targets(&Change::Logged(change));
        }
    }

    fn written(&mut self, conditions: &Conditions, write: &Write, written: &Written) {
        let change = Change::Written(written.clone());
        let Some(doomed) = self.targets(&change) else { return };
        for touch in &write.touches {
            for touched in touched(conditions, touch, written) {
                if !self.is_covered(&written.entity, &touched, &doomed) {
                    let message = format!("the write {} leaves a read stale", write.name);
                    self.wrong(&change, Rule::Covers, message, Some(&touched.request));
                }
            }
        }
    }

    /// What a change makes untrue, by name; `None` if the host can't act upon the answer.
    fn targets(&mut self, change: &Change) -> Option<RemovedNames> {
        match self.asked.invalidate(change) {
            Ok(targets) => self.doomed(change, &targets),
            Err(Unclear::Trap(trap)) => {
                self.wrong(change, Rule::Answers, trap.to_string(), None);
                None
            }
            Err(Unclear::Differs { how, one, other }) => {
                let told = subject(change);
                let message = format!("{how} for the targets of {told}, {one:?} became {other:?}");
                self.wrong(change, Rule::Stable, message, None);
                None
            }
        }
    }

    /// The targets' names; `None` if the host can't act upon one of them.
    fn doomed(&mut self, change: &Change, targets: &[Target]) -> Option<RemovedNames> {
        let mut doomed = RemovedNames::default();
        for target in targets {
            let illegal = match &target.scope {
                Scope::Key(key) => {
                    doomed.keys.insert(key.clone());
                    StoreKey::try_new(key).err()
                }
                Scope::Tag(tag) => {
                    doomed.tags.insert(tag.clone());
                    StoreTag::try_new(tag).err()
                }
                Scope::Read(request) => {
                    let plan = self.plan(Which::First, change.about(), request)?;
                    let illegal = StoreKey::try_new(&plan.key).err();
                    doomed.keys.insert(plan.key);
                    illegal
                }
            };
            if let Some(illegal) = illegal {
                let message = format!("{} makes {target:?} untrue: {illegal}", subject(change));
                self.wrong(change, Rule::Targets, message, None);
                return None;
            }
        }
        Some(doomed)
    }

    /// Whether one of a read's names is among the targets. A read without a plan counts as covered;
    /// its missing plan is a finding of its own.
    fn is_covered(&mut self, entity: &str, touched: &CoveredRead, doomed: &RemovedNames) -> bool {
        let request = &touched.request;
        let Some(plan) = self.plan(Which::First, entity, request) else { return true };
        if doomed.keys.contains(&plan.key) || plan.tags.iter().any(|tag| doomed.tags.contains(tag))
        {
            return true;
        }
        let Some(row) = &touched.row else { return false };
        let value = |column: &String| {
            row.iter().find(|(name, _)| name == column).and_then(|(_, value)| value.clone())
        };
        let row: Row = plan.row_columns.iter().map(value).collect();
        let Some(tags) = self.tags_of(entity, request, &[row]) else { return true };
        tags.iter().any(|tag| doomed.tags.contains(tag))
    }

    fn wrong(&mut self, change: &Change, rule: Rule, message: String, read: Option<&Request>) {
        let read = read.map(|read| format!("read  {}", shown(read)));
        let examples = [shown_change(change)].into_iter().chain(read).collect();
        self.findings.keep(rule, Finding { examples, ..Finding::new(change.about(), message) });
    }
}

fn subject(change: &Change) -> String {
    match change {
        Change::Written(written) => format!("the write {}", written.write),
        Change::Logged(logged) => format!("a change of {}", logged.relation),
    }
}

/// Changes by one write: every parameter and column varied in turn, with rows that are known and
/// rows that are not. Columns that touches take only from the row as it was are returned with every
/// row, as the host does it.
fn changes(entity: &str, write: &Write) -> Vec<Written> {
    let (columns, old) = columns(write);
    let parameters: Vec<&str> = write.parameters.iter().map(|one| one.name.as_str()).collect();
    let arguments = usual(&parameters, 7);
    let (row, was) = (usual(&columns, 70), usual(&old, 170));
    let change = |arguments: &[Argument], rows| Written {
        entity: entity.to_owned(),
        write: write.name.clone(),
        arguments: arguments.to_vec(),
        rows,
    };
    let moved = |before: &[Argument], after: &[Argument]| RowChange {
        before: known(before),
        after: known(after),
    };
    let after = |after: &[Argument]| moved(&was, after);
    let mut changes = vec![change(&arguments, Vec::new()), change(&arguments, vec![after(&row)])];
    for varied in varied(&arguments) {
        changes.push(change(&varied, vec![after(&row)]));
    }
    for varied in varied(&row) {
        changes.push(change(&arguments, vec![after(&varied)]));
        let before: Vec<Argument> = was.iter().chain(&row).cloned().collect();
        changes.push(change(&arguments, vec![after(&row), moved(&before, &varied)]));
    }
    for varied in varied(&was) {
        changes.push(change(&arguments, vec![moved(&varied, &row)]));
    }
    changes
}

/// Numbers from `first` on, one for each name.
fn usual<S: AsRef<str>>(names: &[S], first: usize) -> Vec<Argument> {
    let values: Vec<String> = (0..names.len()).map(|at| (first + at).to_string()).collect();
    let values: Vec<Option<&str>> = values.iter().map(|value| Some(value.as_str())).collect();
    named(names.iter().map(AsRef::as_ref), &values)
}

fn known(values: &[Argument]) -> Vec<Column> {
    let column = |Argument { name, value }: &Argument| Column {
        name: name.clone(),
        value: value.clone().map_or(ColumnValue::Null, ColumnValue::Text),
    };
    values.iter().map(column).collect()
}

fn varied(usual: &[Argument]) -> impl Iterator<Item = Vec<Argument>> {
    (0..usual.len()).flat_map(move |at| {
        VARIED.iter().map(move |value| {
            let mut varied = usual.to_vec();
            varied[at].value = value.map(str::to_owned);
            varied
        })
    })
}

/// The columns that a write's touches need, each once: those of the row, and those that only the
/// row as it was has to show.
fn columns(write: &Write) -> (Vec<String>, Vec<String>) {
    let (mut columns, mut old) = (BTreeSet::new(), BTreeSet::new());
    for touch in &write.touches {
        let sources: Vec<&Source> = match touch {
            Touch::Read(read) => read.arguments.iter().collect(),
            Touch::Tag(tag) => sources(tag).collect(),
        };
        for source in sources {
            match source {
                Source::Argument(_) => {}
                Source::Column(name) => _ = columns.insert(name.clone()),
                Source::OldColumn(name) => _ = old.insert(name.clone()),
            }
        }
    }
    let old = old.difference(&columns).cloned().collect();
    (columns.into_iter().collect(), old)
}

/// The reads that a touch of this change means: for each row, those of the row as it was and of the
/// row as it is.
fn touched(conditions: &Conditions, touch: &Touch, written: &Written) -> Vec<CoveredRead> {
    let arguments = written.arguments.as_slice();
    let sides =
        written.rows.iter().flat_map(|row| [&row.before, &row.after].map(|side| (row, side)));
    let sides = sides.filter(|(_, columns)| !columns.is_empty()).map(|(row, columns)| Values {
        arguments,
        columns,
        before: &row.before,
    });
    let no_row = Values { arguments, columns: &[], before: &[] };
    let mut touched: Vec<CoveredRead> = Vec::new();
    for values in std::iter::once(no_row).chain(sides) {
        let reads = match touch {
            Touch::Read(read) => touched_read(conditions, &read.entity, &read.arguments, &values)
                .into_iter()
                .collect(),
            Touch::Tag(tag) => carriers(conditions, tag, &values),
        };
        for read in reads {
            if !touched.contains(&read) {
                touched.push(read);
            }
        }
    }
    touched
}

fn touched_read(
    conditions: &Conditions,
    entity: &str,
    arguments: &[Source],
    values: &Values<'_>,
) -> Option<CoveredRead> {
    let entity = conditions.entities().iter().find(|known| known.name == entity)?;
    let values: Option<Vec<Option<&str>>> =
        arguments.iter().map(|source| values.of(source)).collect();
    Some(CoveredRead { request: entity.request(&values?), row: None })
}

/// Reads that carry a tag: one of each entity that declares a tag of the same form and, for a tag
/// without values, an ad-hoc query that brings it.
fn carriers(conditions: &Conditions, tag: &[Piece], values: &Values<'_>) -> Vec<CoveredRead> {
    let entities = conditions.entities().iter();
    let mut carriers: Vec<CoveredRead> = entities
        .flat_map(|entity| entity.tags.iter().filter_map(|own| carrier(entity, own, tag, values)))
        .collect();
    if let ([Piece::Text(text)], Some(query)) = (tag, conditions.query) {
        let tags = vec![text.clone()];
        let query = Query { sql: "SELECT 1".into(), ttl_ms: query.ttl_ms, tags };
        let request = Request { subject: Subject::Query(query), arguments: Vec::new() };
        carriers.push(CoveredRead { request, row: None });
    }
    carriers
}

/// The read of `entity` whose tag `own` has the text of `tag`; `None` if their forms differ.
fn carrier(
    entity: &Entity,
    own: &[Piece],
    tag: &[Piece],
    values: &Values<'_>,
) -> Option<CoveredRead> {
    /// The value of a parameter that the tag does not name.
    const USUAL: Option<&str> = Some("5");
    if own.len() != tag.len() {
        return None;
    }
    let mut arguments: Vec<Option<Option<&str>>> = vec![None; entity.parameters.len()];
    let mut row: Vec<(String, Option<String>)> = Vec::new();
    for pair in own.iter().zip(tag) {
        match pair {
            (Piece::Text(own), Piece::Text(text)) if own == text => {}
            (Piece::Value(Source::Argument(name)), Piece::Value(source)) => {
                let at = entity.parameters.iter().position(|one| one.name == *name)?;
                let value = values.of(source)?;
                if arguments[at].is_some_and(|other| other != value) {
                    return None;
                }
                arguments[at] = Some(value);
            }
            (Piece::Value(Source::Column(name)), Piece::Value(source)) => {
                row.push((name.clone(), values.of(source)?.map(str::to_owned)));
            }
            // A tag of a read has no old column.
            (Piece::Value(Source::OldColumn(_)), _) => return None,
            (Piece::Text(_), _) | (Piece::Value(_), Piece::Text(_)) => return None,
        }
    }
    let arguments: Vec<Option<&str>> = arguments.iter().map(|a| a.unwrap_or(USUAL)).collect();
    let row = (!row.is_empty()).then_some(row);
    Some(CoveredRead { request: entity.request(&arguments), row })
}

impl<'c> Values<'c> {
    /// The value: `Some(None)` is null, `None` if it is not known.
    fn of(&self, source: &Source) -> Option<Option<&'c str>> {
        let column = |columns: &'c [Column], name: &String| match &columns
            .iter()
            .find(|column| column.name == *name)?
            .value
        {
            ColumnValue::Unknown => None,
            ColumnValue::Null => Some(None),
            ColumnValue::Text(text) => Some(Some(text.as_str())),
        };
        match source {
            Source::Argument(name) => {
                let found = self.arguments.iter().find(|argument| argument.name == *name)?;
                Some(found.value.as_deref())
            }
            Source::Column(name) => column(self.columns, name),
            Source::OldColumn(name) => column(self.before, name),
        }
    }
}

fn shown_change(change: &Change) -> String {
    let (mut text, rows) = match change {
        Change::Written(Written { entity, write, arguments, rows }) => {
            (format!("write {entity}.{write}({})", shown_arguments(arguments)), rows)
        }
        Change::Logged(Logged { relation, operation, rows }) => {
            (format!("{relation}: {operation:?}"), rows)
        }
    };
    for RowChange { before, after } in rows {
        if !before.is_empty() {
            text += &format!(", a row that was ({})", shown_columns(before));
        }
        if !after.is_empty() {
            text += &format!(", a row that is ({})", shown_columns(after));
        }
    }
    text
}

fn shown_columns(columns: &[Column]) -> String {
    let shown = |Column { name, value }: &Column| match value {
        ColumnValue::Unknown => format!("{name}: unknown"),
        ColumnValue::Null => format!("{name}: null"),
        ColumnValue::Text(text) => format!("{name}: {text:?}"),
    };
    columns.iter().map(shown).collect::<Vec<_>>().join(", ")
}
