//! Writes: a statement in its open transaction, and what it returns.

use futures_util::TryStreamExt;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Either, Executor as _, Row as _};

use super::errors::classify;
use super::read::StatementNames;
use super::text::ColumnPlaces;
use super::{bind, statement};
use crate::origin::attempt::{CallTime, FailedAttempt};
use crate::origin::rows::Texts;
use crate::origin::{Value, WriteStatement};

/// What a statement did.
pub(super) struct WriteEffect {
    pub(super) rows: u64,
    pub(super) returned: Vec<Vec<Option<String>>>,
    pub(super) missing: Vec<String>,
}

/// Runs a write in the transaction that is open.
pub(super) async fn run(
    connection: &mut PgConnection,
    write: &WriteStatement,
    values: &[Value],
    columns: &[String],
    names: StatementNames,
    patience: CallTime,
) -> Result<WriteEffect, FailedAttempt> {
    let sql = AssertSqlSafe(statement::plain(&write.sql, &write.params));
    let query = sqlx::query_with(sql, bind::arguments(values)?);
    let query = query.persistent(names == StatementNames::Kept);
    let mut events = connection.fetch_many(query);
    let (mut rows, mut texts) = (None, Texts::new(columns));
    let mut places = None;
    while let Some(event) = events.try_next().await.map_err(|e| classify(e, patience.deadline()))? {
        match event {
            Either::Left(done) => rows = Some(done.rows_affected()),
            Either::Right(row) => {
                let places =
                    places.get_or_insert_with(|| ColumnPlaces::by_name(row.columns(), columns));
                places.read(&row, &mut texts)?;
            }
        }
    }
    let Some(rows) = rows else { return Err(FailedAttempt::broken()) };
    if rows > 0 && places.is_none() {
        texts.miss_all();
    }
    let (returned, missing) = texts.finish();
    Ok(WriteEffect { rows, returned, missing })
}
