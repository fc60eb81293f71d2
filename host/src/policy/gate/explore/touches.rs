//! Invalidation: what a write makes untrue covers every key that a read of the same values has.
//!
//! The configuration says what a write touches; the policy says by which names. So what a touch
//! means is asked of the policy itself: a read is touched, or a read whose plan or row carries the
//! tag, and one of the names that the read has must be among the targets.

use std::collections::BTreeSet;

use super::super::requests::{shown, shown_arguments};
use super::super::terms::named;
use super::super::{EntityShape, Finding, Piece, Source, Template, Terms, Touch, WriteShape};
use super::asked::{Unclear, Which};
use super::findings::Rule;
use super::{Exploration, until};
use crate::name::{Key, Tag};
use crate::policy::{Argument, Change, Query, Request, Row, RowChange, Scope, Subject, Target};

/// What a parameter or a column has in turn, while the others have their usual values.
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
struct Touched {
    request: Request,
    /// What its tags see of the row; none: they are not asked for.
    row: Option<Vec<(String, Option<String>)>>,
}

/// The names among a change's targets.
#[derive(Default)]
struct Doomed {
    keys: BTreeSet<String>,
    tags: BTreeSet<String>,
}

/// Where a touch takes its values from.
struct Values<'c> {
    arguments: &'c [Argument],
    /// The row as it was or as it is.
    columns: &'c [Argument],
    /// The row as it was.
    before: &'c [Argument],
}

impl Exploration<'_> {
    /// The writes of every entity, with generated arguments and rows.
    pub(super) fn touches(&mut self, terms: &Terms) {
        for entity in &terms.entities {
            for write in &entity.writes {
                let changes = changes(&entity.name, write);
                self.progress.changes.of += changes.len();
                for change in &changes {
                    if self.asked.is_over(until::TOUCHES) {
                        break;
                    }
                    self.progress.changes.done += 1;
                    self.change(terms, write, change);
                }
            }
        }
    }

    fn change(&mut self, terms: &Terms, write: &WriteShape, change: &Change) {
        let targets = match self.asked.invalidate(change) {
            Ok(targets) => targets,
            Err(Unclear::Trap(trap)) => {
                return self.wrong(change, Rule::Answers, trap.to_string(), None);
            }
            Err(Unclear::Differs { how, one, other }) => {
                let message = format!("{how} for what {}, {one:?} became {other:?}", write.name);
                return self.wrong(change, Rule::Stable, message, None);
            }
        };
        let Some(doomed) = self.doomed(change, &targets) else { return };
        for touch in &write.touches {
            for touched in touched(terms, touch, change) {
                if !self.is_covered(change, &touched, &doomed) {
                    let message = stale(write, touch);
                    self.wrong(change, Rule::Covers, message, Some(&touched.request));
                }
            }
        }
    }

    /// The targets' names; none: one of them has no name that the host could act upon.
    fn doomed(&mut self, change: &Change, targets: &[Target]) -> Option<Doomed> {
        let mut doomed = Doomed::default();
        for target in targets {
            let illegal = match &target.scope {
                Scope::Key(key) => {
                    doomed.keys.insert(key.clone());
                    Key::try_new(key).err()
                }
                Scope::Tag(tag) => {
                    doomed.tags.insert(tag.clone());
                    Tag::try_new(tag).err()
                }
                Scope::Read(request) => {
                    let plan = self.plan(Which::First, &change.entity, request)?;
                    let illegal = Key::try_new(&plan.key).err();
                    doomed.keys.insert(plan.key);
                    illegal
                }
            };
            if let Some(illegal) = illegal {
                let message = format!("the write {} touches {:?}: {illegal}", change.write, target);
                self.wrong(change, Rule::Targets, message, None);
                return None;
            }
        }
        Some(doomed)
    }

    /// Whether one of a read's names is among the targets. What has no plan is found elsewhere.
    fn is_covered(&mut self, change: &Change, touched: &Touched, doomed: &Doomed) -> bool {
        let request = &touched.request;
        let Some(plan) = self.plan(Which::First, &change.entity, request) else { return true };
        if doomed.keys.contains(&plan.key) || plan.tags.iter().any(|tag| doomed.tags.contains(tag))
        {
            return true;
        }
        let Some(row) = &touched.row else { return false };
        let value = |column: &String| {
            row.iter().find(|(name, _)| name == column).and_then(|(_, value)| value.clone())
        };
        let row: Row = plan.row_columns.iter().map(value).collect();
        let Some(tags) = self.tags_of(&change.entity, request, &[row]) else { return true };
        tags.iter().any(|tag| doomed.tags.contains(tag))
    }

    fn wrong(&mut self, change: &Change, rule: Rule, message: String, read: Option<&Request>) {
        let read = read.map(|read| format!("read  {}", shown(read)));
        let examples =
            [format!("write {}", shown_change(change))].into_iter().chain(read).collect();
        self.findings.keep(rule, Finding { examples, ..Finding::new(&change.entity, message) });
    }
}

/// That a write does not invalidate what it touches. Most often a policy that does it by an old
/// column knows none.
fn stale(write: &WriteShape, touch: &Touch) -> String {
    let message = format!("the write {} leaves a read stale", write.name);
    match touch.sources().into_iter().find_map(Source::old) {
        Some(column) => {
            format!("{message} that it touches by {{old.{column}}}: {}", Source::NO_OLD)
        }
        None => message,
    }
}

/// Changes by one write: every parameter and column varied in turn, rows known and not. Columns that
/// a touch knows of the row as it was alone are returned with every row, as the host does it.
fn changes(entity: &str, write: &WriteShape) -> Vec<Change> {
    let (columns, old) = columns(write);
    let usual = |names: &[String], first: usize| -> Vec<Argument> {
        let values: Vec<String> = (0..names.len()).map(|at| (first + at).to_string()).collect();
        named(names, &values.iter().map(|value| Some(value.as_str())).collect::<Vec<_>>())
    };
    let (arguments, row, was) = (usual(&write.params, 7), usual(&columns, 70), usual(&old, 170));
    let change = |arguments: &[Argument], rows| Change {
        entity: entity.to_owned(),
        write: write.name.clone(),
        arguments: arguments.to_vec(),
        rows,
    };
    let after = |after: &[Argument]| RowChange { before: was.clone(), after: after.to_vec() };
    let mut changes = vec![change(&arguments, Vec::new()), change(&arguments, vec![after(&row)])];
    for varied in varied(&arguments) {
        changes.push(change(&varied, vec![after(&row)]));
    }
    for varied in varied(&row) {
        changes.push(change(&arguments, vec![after(&varied)]));
        let before = was.iter().chain(&row).cloned().collect();
        let moved = RowChange { before, after: varied };
        changes.push(change(&arguments, vec![after(&row), moved]));
    }
    for varied in varied(&was) {
        let moved = RowChange { before: varied, after: row.clone() };
        changes.push(change(&arguments, vec![moved]));
    }
    changes
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

/// The columns that a write's touches need, each once: of the row, and of the row as it was alone.
fn columns(write: &WriteShape) -> (Vec<String>, Vec<String>) {
    let (mut columns, mut old) = (BTreeSet::new(), BTreeSet::new());
    for source in write.touches.iter().flat_map(Touch::sources) {
        match source {
            Source::Param(_) => {}
            Source::Column(name) => _ = columns.insert(name.clone()),
            Source::Old(name) => _ = old.insert(name.clone()),
        }
    }
    let old = old.difference(&columns).cloned().collect();
    (columns.into_iter().collect(), old)
}

/// The reads that a touch of this change means: once for each row as it was and as it is.
fn touched(terms: &Terms, touch: &Touch, change: &Change) -> Vec<Touched> {
    let arguments = change.arguments.as_slice();
    let sides =
        change.rows.iter().flat_map(|row| [&row.before, &row.after].map(|side| (row, side)));
    let sides = sides.filter(|(_, columns)| !columns.is_empty()).map(|(row, columns)| Values {
        arguments,
        columns,
        before: &row.before,
    });
    let no_row = Values { arguments, columns: &[], before: &[] };
    let mut touched: Vec<Touched> = Vec::new();
    for values in std::iter::once(no_row).chain(sides) {
        let reads = match touch {
            Touch::Read { entity, arguments } => {
                touched_read(terms, entity, arguments, &values).into_iter().collect()
            }
            Touch::Tag(tag) => carriers(terms, tag, &values),
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
    terms: &Terms,
    entity: &str,
    arguments: &[Source],
    values: &Values<'_>,
) -> Option<Touched> {
    let entity = terms.entities.iter().find(|shape| shape.name == entity)?;
    let values: Option<Vec<Option<&str>>> =
        arguments.iter().map(|source| values.of(source)).collect();
    Some(Touched { request: entity.request(&values?), row: None })
}

/// Reads that carry a tag: of each entity that declares one of the same shape, and an ad-hoc query
/// that was given it where it has no holes.
fn carriers(terms: &Terms, tag: &Template, values: &Values<'_>) -> Vec<Touched> {
    let entities = terms.entities.iter();
    let mut carriers: Vec<Touched> = entities
        .flat_map(|entity| entity.tags.iter().filter_map(|own| carrier(entity, own, tag, values)))
        .collect();
    if let ([Piece::Text(text)], Some(_)) = (tag.0.as_slice(), terms.query) {
        let query = Query { sql: "SELECT 1".into(), ttl_ms: 0, tags: vec![text.clone()] };
        let request = Request { subject: Subject::Query(query), arguments: Vec::new() };
        carriers.push(Touched { request, row: None });
    }
    carriers
}

/// The read of `entity` whose tag `own` has the text of `tag`; none: their shapes differ.
fn carrier(
    entity: &EntityShape,
    own: &Template,
    tag: &Template,
    values: &Values<'_>,
) -> Option<Touched> {
    /// What a parameter has that the tag does not name.
    const USUAL: Option<&str> = Some("5");
    if own.0.len() != tag.0.len() {
        return None;
    }
    let mut arguments: Vec<Option<Option<&str>>> = vec![None; entity.params.len()];
    let mut row: Vec<(String, Option<String>)> = Vec::new();
    for pair in own.0.iter().zip(&tag.0) {
        match pair {
            (Piece::Text(own), Piece::Text(text)) if own == text => {}
            (Piece::Hole(Source::Param(name)), Piece::Hole(source)) => {
                let at = entity.params.iter().position(|param| param == name)?;
                let value = values.of(source)?;
                if arguments[at].is_some_and(|other| other != value) {
                    return None;
                }
                arguments[at] = Some(value);
            }
            (Piece::Hole(Source::Column(name)), Piece::Hole(source)) => {
                row.push((name.clone(), values.of(source)?.map(str::to_owned)));
            }
            // No read's tag has one.
            (Piece::Hole(Source::Old(_)), _) => return None,
            (Piece::Text(_), _) | (Piece::Hole(_), Piece::Text(_)) => return None,
        }
    }
    let arguments: Vec<Option<&str>> = arguments.iter().map(|a| a.unwrap_or(USUAL)).collect();
    let row = (!row.is_empty()).then_some(row);
    Some(Touched { request: entity.request(&arguments), row })
}

impl<'c> Values<'c> {
    /// The value; `Some(None)` is null, none: it is not known.
    fn of(&self, source: &Source) -> Option<Option<&'c str>> {
        let (values, name) = match source {
            Source::Param(name) => (self.arguments, name),
            Source::Column(name) => (self.columns, name),
            Source::Old(name) => (self.before, name),
        };
        let found = values.iter().find(|argument| argument.name == *name)?;
        Some(found.value.as_deref())
    }
}

fn shown_change(change: &Change) -> String {
    let mut text =
        format!("{}.{}({})", change.entity, change.write, shown_arguments(&change.arguments));
    for RowChange { before, after } in &change.rows {
        if !before.is_empty() {
            text += &format!(", a row that was ({})", shown_arguments(before));
        }
        if !after.is_empty() {
            text += &format!(", a row that is ({})", shown_arguments(after));
        }
    }
    text
}
