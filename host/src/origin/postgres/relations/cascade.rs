//! What follows from a change: the rows that refer to the changed ones by a foreign key, and what
//! the database does not tell.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::plan::{Modified, PlanOperation};
use crate::origin::assignments::Assignments;
use crate::origin::relations::{ChangedBy, Changes, Columns, Table, TableChange, Unseen};

/// `catalogue.sql`'s answer.
#[derive(Debug, Deserialize)]
pub(super) struct Catalogue {
    planned: Vec<PlannedTable>,
    keys: Vec<ForeignKey>,
    triggers: Vec<Trigger>,
    rules: Vec<RewriteRule>,
}

/// A table of the plan.
#[derive(Debug, Deserialize)]
struct PlannedTable {
    schema: String,
    name: String,
    /// The table at the top of its tree. A table that inherits from several has an entry for each.
    root: Table,
    /// Whether the statement names this table, and it is no view.
    is_named: bool,
    /// Columns that are computed from others.
    generated: Vec<String>,
}

/// A foreign key that changes the referring rows.
#[derive(Debug, Deserialize)]
struct ForeignKey {
    name: String,
    child: Table,
    parent: Table,
    on_delete: String,
    on_update: String,
    columns: BTreeSet<String>,
    referenced: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct Trigger {
    name: String,
    table: Table,
    inserts: bool,
    deletes: bool,
    updates: bool,
    /// The columns whose update fires it; empty if every update does.
    columns: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct RewriteRule {
    name: String,
    table: Table,
    inserts: bool,
    deletes: bool,
    updates: bool,
}

impl Catalogue {
    /// What the nodes of a plan change, and all that follows.
    pub(super) fn changes(&self, modified: &[Modified], assigned: Option<&Assignments>) -> Changes {
        let mut changes = Changes::default();
        for node in modified {
            let tables = self.planned.iter();
            for table in tables.filter(|t| (&t.schema, &t.name) == (&node.schema, &node.name)) {
                changes.add(table.root.clone(), &of_node(node, table, assigned));
            }
        }
        self.cascade(&mut changes);
        changes.unseen = self.unseen(&changes);
        changes
    }

    /// Adds the rows that foreign keys change because they refer to changed ones, until nothing is
    /// new: those rows may be referred to again.
    fn cascade(&self, changes: &mut Changes) {
        loop {
            let mut is_more = false;
            for key in &self.keys {
                let Some(parent) = changes.tables.get(&key.parent) else { continue };
                let change = key.follows(parent);
                let is_nothing = !change.deletes && change.updates.is_empty();
                is_more |= !is_nothing && changes.add(key.child.clone(), &change);
            }
            if !is_more {
                return;
            }
        }
    }

    fn unseen(&self, changes: &Changes) -> Vec<Unseen> {
        let fires = |trigger: &&Trigger| {
            changes.tables.get(&trigger.table).is_some_and(|change| {
                let of = Columns::Some(trigger.columns.clone());
                let is_updated = match trigger.columns.is_empty() {
                    true => !change.updates.is_empty(),
                    false => change.updates.overlaps(&of),
                };
                (trigger.inserts && change.inserts)
                    || (trigger.deletes && change.deletes)
                    || (trigger.updates && is_updated)
            })
        };
        // What a rule does to the statement itself is in the plan.
        let applies = |rule: &&RewriteRule| {
            changes.tables.get(&rule.table).is_some_and(|change| {
                let is_on = (rule.inserts && change.inserts)
                    || (rule.deletes && change.deletes)
                    || (rule.updates && !change.updates.is_empty());
                is_on && change.cause != ChangedBy::Statement
            })
        };
        let triggers = self.triggers.iter().filter(fires).map(|Trigger { table, name, .. }| {
            Unseen::Trigger { table: table.clone(), name: name.clone() }
        });
        let rules = self.rules.iter().filter(applies).map(|RewriteRule { table, name, .. }| {
            Unseen::Rule { table: table.clone(), name: name.clone() }
        });
        triggers.chain(rules).collect()
    }
}

impl ForeignKey {
    /// What a change of the referenced table does to the referring one.
    fn follows(&self, parent: &TableChange) -> TableChange {
        let mut change = TableChange::nothing(ChangedBy::ForeignKey(Some(self.name.clone())));
        let own = Columns::Some(self.columns.clone());
        if parent.deletes {
            match self.on_delete.as_str() {
                "c" => change.deletes = true,
                "n" | "d" => _ = change.updates.add(&own),
                _ => {}
            }
        }
        let is_key_updated = parent.updates.overlaps(&Columns::Some(self.referenced.clone()));
        if is_key_updated && ["c", "n", "d"].contains(&self.on_update.as_str()) {
            change.updates.add(&own);
        }
        change
    }
}

/// What a node of the plan does to its table.
fn of_node(node: &Modified, table: &PlannedTable, assigned: Option<&Assignments>) -> TableChange {
    let nothing = TableChange::nothing(ChangedBy::Statement);
    match node.operation {
        PlanOperation::Insert => TableChange { inserts: true, ..nothing },
        PlanOperation::Upsert => TableChange { inserts: true, updates: Columns::All, ..nothing },
        PlanOperation::Delete => TableChange { deletes: true, ..nothing },
        PlanOperation::Any => {
            TableChange { inserts: true, deletes: true, updates: Columns::All, ..nothing }
        }
        PlanOperation::Update => {
            let assigned = assigned.filter(|_| node.is_statement && table.is_named);
            let updates = assigned.map_or(Columns::All, |Assignments { columns, .. }| {
                Columns::Some(columns.iter().chain(&table.generated).cloned().collect())
            });
            TableChange { updates, ..nothing }
        }
    }
}
