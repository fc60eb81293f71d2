//! What a read uses and what a write changes, as SQLite's own programs show it: a program opens
//! each table and index that it needs, and the programs of triggers and foreign keys are listed
//! with the statement's.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use super::errors::classify;
use super::program::{Instruction, Programs, Schema, Shape, Tree, explain, has_word};
use super::{Interrupter, SqliteOrigin, command};
use crate::origin::assignments;
use crate::origin::attempt::{CallTime, FailedAttempt};
use crate::origin::relations::{
    ChangedBy, Changes, Columns, Footprint, Table, TableChange, Unseen,
};
use crate::origin::tokens::Dialect;
use crate::origin::{OriginError, ReadStatement, WriteStatement};

/// What a trigger's program begins with.
const TRIGGER: &str = "-- TRIGGER ";

impl SqliteOrigin {
    /// What a read uses.
    pub(super) async fn footprint(&self, read: &ReadStatement) -> Result<Footprint, OriginError> {
        let (schema, programs) = self.look_into(&read.sql).await?;
        let mut footprint = Footprint::default();
        for program in &programs {
            let mut opened: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
            for instruction in program {
                if let Some((table, columns)) = schema.opens(instruction) {
                    footprint.add(named(table), &columns, false);
                    opened.entry(instruction.p1).or_default().push(table);
                }
            }
            for (cursor, columns) in program.iter().filter_map(used) {
                for table in opened.get(&cursor).into_iter().flatten() {
                    footprint.add(named(table), &schema.columns(table, columns), false);
                }
            }
        }
        footprint.unseen = virtual_tables(&programs);
        Ok(footprint)
    }

    /// What a write changes.
    pub(super) async fn consequences(
        &self,
        write: &WriteStatement,
    ) -> Result<Changes, OriginError> {
        let (schema, programs) = self.look_into(&write.sql).await?;
        let mut changes = Changes::default();
        for (index, program) in programs.iter().enumerate() {
            for table in program.iter().filter_map(|i| schema.writes(i)) {
                let change = match (index, schema.shapes.get(table)) {
                    (0, Some(shape)) => of_statement(&write.sql, program, shape),
                    (0, None) => anything(ChangedBy::Statement),
                    (_, _) => anything(cause(program)),
                };
                changes.add(named(table), &change);
            }
        }
        changes.unseen = virtual_tables(&programs);
        Ok(changes)
    }

    /// The statement's programs, and the schema that they are of. Both are of one snapshot, and
    /// reading the schema makes the connection notice a change of it.
    pub(super) async fn look_into(&self, sql: &str) -> Result<(Schema, Programs), OriginError> {
        let patience = CallTime::new(self.deadline);
        let mut lease = self.reads.lease(patience.left()).await?;
        let work = async {
            let connection: &mut SqliteConnection = lease.connection();
            let _alarm = Interrupter::set(connection, patience).await?;
            command(connection, "BEGIN", patience).await?;
            let failed = |error: sqlx::Error| classify(&error, patience.deadline());
            let schema = Schema::read(connection).await.map_err(failed)?;
            let programs = explain(connection, sql).await.map_err(failed)?;
            command(connection, "ROLLBACK", patience).await?;
            Ok((schema, programs))
        };
        // A connection that failed is still in a transaction: it is closed.
        let found = patience.guard(work).await.map_err(|failure: FailedAttempt| failure.error)?;
        lease.give_back();
        Ok(found)
    }
}

impl Schema {
    /// The table that an instruction opens, directly or by an index, and the columns that opening
    /// it needs.
    fn opens(&self, instruction: &Instruction) -> Option<(&str, Columns)> {
        if !["OpenRead", "OpenWrite", "ReopenIdx"].contains(&instruction.opcode.as_str()) {
            return None;
        }
        // A table without row numbers is stored as an index.
        let is_index = instruction.p4.as_ref().is_some_and(|p4| p4.starts_with("k("));
        let (table, mut columns) = match self.trees.get(&instruction.p2)? {
            Tree::Index(table, columns) => (table, columns.clone()),
            Tree::Table(table) if is_index => (table, Columns::All),
            Tree::Table(table) => (table, Columns::none()),
        };
        // The row's number is in every entry.
        let row_id = self.shapes.get(table).and_then(|shape| shape.row_id.clone());
        columns.add(&Columns::some(row_id));
        Some((table, columns))
    }

    /// The table that an instruction is about to change.
    fn writes(&self, instruction: &Instruction) -> Option<&str> {
        let page = match instruction.opcode.as_str() {
            "OpenWrite" => instruction.p2,
            "Clear" => instruction.p1,
            _ => return None,
        };
        match self.trees.get(&page)? {
            Tree::Table(table) | Tree::Index(table, _) => Some(table),
        }
    }

    /// The column at a position of a table's rows; all columns if `position` is `None` or unknown.
    fn columns(&self, table: &str, position: Option<i64>) -> Columns {
        let stored = self.shapes.get(table).map(|shape| &shape.stored);
        let position = position.and_then(|position| usize::try_from(position).ok());
        let name = position.and_then(|position| stored?.get(position).cloned());
        name.map_or(Columns::All, |name| Columns::some([name]))
    }
}

/// The cursor whose row an instruction reads, and the position of the column; `None` for all.
fn used(instruction: &Instruction) -> Option<(i64, Option<i64>)> {
    match instruction.opcode.as_str() {
        "Column" => Some((instruction.p1, Some(instruction.p2))),
        "RowData" => Some((instruction.p1, None)),
        "RowCell" => Some((instruction.p2, None)),
        _ => None,
    }
}

/// What the statement itself does to its table.
fn of_statement(sql: &str, program: &[Instruction], shape: &Shape) -> TableChange {
    let nothing = TableChange::nothing(ChangedBy::Statement);
    // Where a conflict replaces rows, a row that was there before is deleted.
    let replaces = shape.may_replace || has_word(sql, "REPLACE");
    match assignments::verb(sql, Dialect::Sqlite).as_deref() {
        Some("DELETE") => TableChange { deletes: true, ..nothing },
        Some("UPDATE") => {
            TableChange { deletes: replaces, updates: assigned(sql, shape), ..nothing }
        }
        Some("INSERT") if !replaces && !has_word(sql, "CONFLICT") && !deletes(program) => {
            TableChange { inserts: true, ..nothing }
        }
        _ => anything(ChangedBy::Statement),
    }
}

fn deletes(program: &[Instruction]) -> bool {
    program.iter().any(|instruction| instruction.opcode == "Delete")
}

/// The columns that an UPDATE sets, and those that are computed from them and stored. A column that
/// is computed on reading is left out: a read of it uses the columns that it is computed from.
fn assigned(sql: &str, shape: &Shape) -> Columns {
    let Some(assigned) = assignments::of(sql, Dialect::Sqlite) else { return Columns::All };
    let stored =
        |name: &String| shape.stored.iter().find(|s| s.eq_ignore_ascii_case(name)).cloned();
    let names: Option<Vec<String>> = assigned.columns.iter().map(stored).collect();
    let generated = shape.generated.iter().cloned();
    // `rowid` and its like are no columns.
    names.map_or(Columns::All, |names| Columns::some(names.into_iter().chain(generated)))
}

/// What makes SQLite run a program beside the statement's own: a trigger, or a foreign key.
fn cause(program: &[Instruction]) -> ChangedBy {
    let first = program.first().and_then(|first| first.p4.as_deref());
    match first.and_then(|first| first.strip_prefix(TRIGGER)) {
        Some(name) => ChangedBy::Trigger(name.to_owned()),
        None => ChangedBy::ForeignKey(None),
    }
}

fn anything(cause: ChangedBy) -> TableChange {
    TableChange { inserts: true, deletes: true, updates: Columns::All, cause }
}

fn virtual_tables(programs: &Programs) -> Vec<Unseen> {
    let opens = |i: &Instruction| ["VOpen", "VUpdate"].contains(&i.opcode.as_str());
    let reason = "it uses a virtual table, and SQLite does not tell where its rows are";
    match programs.iter().flatten().any(opens) {
        true => vec![Unseen::Statement(reason.to_owned())],
        false => Vec::new(),
    }
}

fn named(table: &str) -> Table {
    Table { schema: "main".to_owned(), name: table.to_owned() }
}
