//! Reads: a statement in its frame, tried again where that can help.

use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{
    AssertSqlSafe, Connection as _, Either, Executor as _, Postgres, Row as _, ValueRef as _,
};
use tokio::time::Instant;

use super::errors::{classify, is_of_columns, is_outdated, undecodable};
use super::lending::ASKED_EVERY;
use super::text::ColumnPlaces;
use super::{PostgresOrigin, bind, frame, identity, simple, statement};
use crate::origin::attempt::{CallTime, FailedAttempt};
use crate::origin::pool::PooledConnection;
use crate::origin::rows::{Body, Texts};
use crate::origin::{Fetched, OriginError, ReadStatement, Value};

/// A connection whose frame takes longer than this to end is closed: a server that answers ends it
/// at once, and the answer waits for the end.
const END_LIMIT: Duration = Duration::from_millis(500);

/// The author of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Author {
    /// The statement stands in the configuration.
    Operator,
    /// The statement came with a request, and may never come again. The session, which has room for
    /// some hundred, does not keep it prepared.
    Client,
}

/// Whether a session keeps the statements that are prepared in it, by names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatementNames {
    /// It keeps them.
    Kept,
    /// It forgets them at once: they have no names.
    None,
}

/// A read with everything it needs.
#[derive(Clone, Copy)]
pub(super) struct Question<'q> {
    pub(super) read: &'q ReadStatement,
    pub(super) values: &'q [Value],
    /// The columns whose texts are asked for.
    pub(super) columns: &'q [String],
    pub(super) author: Author,
    pub(super) patience: CallTime,
}

/// Whether another attempt may succeed: the connection had died while it was idle, or its session
/// turned out to be lent.
struct IsStale(bool);

impl PostgresOrigin {
    /// Answers a read. Asked columns that the statement does not have are reported as missing.
    pub(super) async fn read(&self, question: Question<'_>) -> Result<Fetched, OriginError> {
        match self.answer(question).await {
            Err(error) if !question.columns.is_empty() && is_of_columns(&error) => {
                let fetched = self.answer(Question { columns: &[], ..question }).await?;
                Ok(Fetched { missing: question.columns.to_vec(), ..fetched })
            }
            done => done,
        }
    }

    async fn answer(&self, question: Question<'_>) -> Result<Fetched, OriginError> {
        match self.attempt(question).await {
            // A standby cancels a read that conflicts with what it replays.
            Err((OriginError::Undone { .. }, _) | (_, IsStale(true))) => {
                self.attempt(question).await
            }
            done => done,
        }
        .map_err(|(error, _)| error)
    }

    async fn attempt(&self, question: Question<'_>) -> Result<Fetched, (OriginError, IsStale)> {
        let Question { read, patience, .. } = question;
        let lease = self.lease(&self.reads, patience).await;
        let mut lease = lease.map_err(|e| (e, IsStale(false)))?;
        match patience.guard(self.run(&mut lease, question)).await {
            Ok(fetched) => {
                leave(lease, &read.sql).await;
                Ok(fetched)
            }
            Err(failure) if failure.is_usable() => {
                leave(lease, &read.sql).await;
                Err((failure.error, IsStale(false)))
            }
            Err(failure) => {
                let is_stale = self.settle(&failure, lease);
                Err((failure.error, IsStale(is_stale)))
            }
        }
    }

    async fn run(
        &self,
        lease: &mut PooledConnection<Postgres>,
        question: Question<'_>,
    ) -> Result<Fetched, FailedAttempt> {
        let Question { author, patience, .. } = question;
        let begin = frame::begin(patience.left(), self.lending.settings());
        if self.lending.is_lent() {
            begin_lent(lease, begin, patience).await?;
            return fetch(lease.connection(), question, StatementNames::None).await;
        }
        let connection = lease.connection();
        simple(connection, begin, patience).await?;
        let names = match author {
            Author::Operator => StatementNames::Kept,
            Author::Client => StatementNames::None,
        };
        match fetch(connection, question, names).await {
            Err(failure) if is_outdated(&failure) => {
                simple(connection, frame::UNDO.to_owned(), patience).await?;
                forget_statements(connection, patience).await?;
                fetch(connection, question, names).await
            }
            done => done,
        }
    }
}

/// Begins the frame in a lent session. If the last answer is older than `ASKED_EVERY`, the same
/// message asks which database the connection leads to.
async fn begin_lent(
    lease: &mut PooledConnection<Postgres>,
    begin: String,
    patience: CallTime,
) -> Result<(), FailedAttempt> {
    if lease.identity().is_none() || lease.asked().elapsed() < ASKED_EVERY {
        return simple(lease.connection(), begin, patience).await;
    }
    let asked = Instant::now();
    let sql = format!("{begin}; {}", identity::question());
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(lease.connection()).await;
    let rows = rows.map_err(|e| classify(e, patience.deadline()))?;
    let said = rows.last().map(|row| identity::identity(row, 0)).transpose();
    lease.hear(said.map_err(FailedAttempt::dirty)?, asked);
    Ok(())
}

/// Ends the frame and gives the connection back. If that fails, closing the connection ends the
/// frame; the answer stands either way.
async fn leave(mut lease: PooledConnection<Postgres>, sql: &str) {
    if frame::is_lasting(sql) {
        return;
    }
    let patience = CallTime::new(END_LIMIT);
    let end = simple(lease.connection(), frame::END.to_owned(), patience);
    if patience.guard(end).await.is_ok() {
        lease.give_back();
    }
}

/// Makes the session prepare anew what it runs next.
pub(super) async fn forget_statements(
    connection: &mut PgConnection,
    patience: CallTime,
) -> Result<(), FailedAttempt> {
    let forgotten = connection.clear_cached_statements().await;
    forgotten.map_err(|e| classify(e, patience.deadline()))
}

/// Runs the statement. Its rows are an answer once the server has said that there are no more.
async fn fetch(
    connection: &mut PgConnection,
    question: Question<'_>,
    names: StatementNames,
) -> Result<Fetched, FailedAttempt> {
    let Question { read, values, columns, patience, .. } = question;
    let sql = AssertSqlSafe(statement::read_rows(read, columns));
    let query = sqlx::query_with(sql, bind::arguments(values)?);
    let query = query.persistent(names == StatementNames::Kept);
    let mut events = connection.fetch_many(query);
    let (mut body, mut texts) = (Body::new(read.rows), Texts::new(columns));
    let (mut places, mut is_ended) = (None, false);
    while let Some(event) = events.try_next().await.map_err(|e| classify(e, patience.deadline()))? {
        match event {
            Either::Left(_) => is_ended = true,
            Either::Right(row) => {
                body.push(json(&row)?.as_bytes()).map_err(FailedAttempt::dirty)?;
                let places = places.get_or_insert_with(|| ColumnPlaces::after_first(row.columns()));
                places.read(&row, &mut texts)?;
            }
        }
    }
    if !is_ended {
        return Err(FailedAttempt::broken());
    }
    let (rows, missing) = texts.finish();
    Ok(Fetched { body: body.finish(), rows, missing })
}

/// The JSON in a wrapped statement's first column.
fn json(row: &PgRow) -> Result<&str, FailedAttempt> {
    let value = row.try_get_raw(0).map_err(|e| FailedAttempt::dirty(undecodable(&e)))?;
    if value.is_null() {
        return Ok("null");
    }
    value.as_str().map_err(|e| FailedAttempt::dirty(undecodable(e.as_ref())))
}
