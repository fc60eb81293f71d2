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
use super::covered::{CoveredRead, touched};
use super::findings::Rule;
use super::logged::logged;
use super::{Exploration, until};
use crate::config::template::sources;
use crate::policy::run::guard::{self, Illegal};
use crate::policy::{
    Argument, Change, Column, ColumnValue, Logged, Named, Request, Row, RowChange, Scope, Source,
    Target, Touch, Write, Written,
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

/// The names among a change's targets.
#[derive(Default)]
struct RemovedNames {
    keys: BTreeSet<String>,
    tags: BTreeSet<String>,
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

    /// The targets' names; `None` if a write that asks the guard the same would be refused.
    fn doomed(&mut self, change: &Change, targets: &[Target]) -> Option<RemovedNames> {
        self.removed(change, targets).unwrap_or_else(|illegal| {
            let told = subject(change);
            let message = format!("{told} has targets that a host can't act upon: {illegal}");
            self.wrong(change, Rule::Targets, message, None);
            None
        })
    }

    /// The same; `Ok(None)` if a read among the targets has no plan, which is a finding of its own.
    fn removed(
        &mut self,
        change: &Change,
        targets: &[Target],
    ) -> Result<Option<RemovedNames>, Illegal> {
        guard::targets(targets.len(), change.rows().len())?;
        let mut removed = RemovedNames::default();
        for target in targets {
            match &target.scope {
                Scope::Key(key) => {
                    guard::key(key)?;
                    removed.keys.insert(key.clone());
                }
                Scope::Tag(tag) => {
                    guard::tag(tag)?;
                    removed.tags.insert(tag.clone());
                }
                Scope::Read(request) => {
                    let plan = self.plan(Which::First, change.about(), request);
                    let Some(plan) = plan else { return Ok(None) };
                    removed.keys.insert(plan.key.clone());
                    Named::try_new(plan)?;
                }
            }
        }
        Ok(Some(removed))
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
