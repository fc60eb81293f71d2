//! Postgres as the origin.
//!
//! The server itself makes the JSON (`row_to_json`), so that every type, also those that this host
//! has never heard of, is spelled as Postgres spells it.
//!
//! Reads run in sessions that are read-only by default. That is a guard against mistakes: a
//! statement of the configuration can call `set_config`. What a client wrote runs in a read-only
//! transaction that is rolled back, and its settings with it (see `frame`). Which functions it may
//! call is up to the database role.

mod bind;
mod errors;
mod frame;
mod identity;
mod prepare;
mod questions;
mod relations;
mod statement;
mod transaction;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use quick_cache::sync::Cache;
use serde_json::{Map, Value as Json};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::query::Query;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, Postgres, Row, Statement,
    ValueRef,
};
use tokio::time::Instant;

use super::attempt::{Failure, Patience};
use super::connect::invalid;
use super::identity::Newest;
use super::pool::{Lease, Pool};
use super::rows::{Body, object};
use super::{
    BODY_LIMIT, Changes, ConnectError, Footprint, Origin, OriginError, OriginIdentity,
    OriginOptions, Prepared, ReadStatement, Value, WRITE_IDLE_LIMIT, WriteStatement, Written, Xid,
};
use errors::{classify, undecodable};
use frame::Frame;
use transaction::PostgresTransaction;

/// Write statements whose shape is remembered. A configuration has some dozens.
const SHAPES_LIMIT: usize = 1024;

/// Connections for questions: one that waits for a server that hangs, and one for everybody else.
const MAX_QUESTIONS: u32 = 2;

/// A Postgres database.
pub struct PostgresOrigin {
    reads: Arc<Pool<Postgres>>,
    writes: Arc<Pool<Postgres>>,
    questions: Arc<Pool<Postgres>>,
    newest: Arc<Newest>,
    /// The statement timeout that the sessions have without being told.
    session_deadline: Duration,
    /// Whether a write returns rows.
    returning: Cache<String, bool>,
}

impl PostgresOrigin {
    /// An origin that connects when it is used.
    ///
    /// # Errors
    /// The URL is wrong.
    pub fn connect(url: &str, options: &OriginOptions) -> Result<Self, ConnectError> {
        let connect: PgConnectOptions = url.parse().map_err(|e| invalid("postgres", &e))?;
        let connect = match connect.get_application_name() {
            Some(_) => connect,
            None => connect.application_name("corral"),
        };
        let connect = connect.disable_statement_logging().options([
            ("statement_timeout", millis(options.deadline).to_string()),
            ("bytea_output", "hex".to_owned()),
        ]);
        let read_only = connect.clone().options([("default_transaction_read_only", "on")]);
        let newest = Arc::new(Newest::default());
        Ok(Self {
            reads: Pool::new(read_only, options.max_loads, &newest),
            writes: Pool::new(connect.clone(), options.max_writes, &newest),
            questions: Pool::new(connect, MAX_QUESTIONS, &newest),
            newest,
            session_deadline: options.deadline,
            returning: Cache::new(SHAPES_LIMIT),
        })
    }

    async fn read(
        &self,
        read: &ReadStatement,
        values: &[Value],
        deadline: Duration,
        author: Author,
    ) -> Result<Option<Bytes>, OriginError> {
        let patience = Patience::new(deadline);
        match self.try_read(read, values, patience, author).await {
            Err((_, IsStale(true))) => self.try_read(read, values, patience, author).await,
            done => done,
        }
        .map_err(|(error, _)| error)
    }

    /// One attempt.
    async fn try_read(
        &self,
        read: &ReadStatement,
        values: &[Value],
        patience: Patience,
        author: Author,
    ) -> Result<Option<Bytes>, (OriginError, IsStale)> {
        let mut lease = self.reads.lease(patience.left()).await.map_err(|e| (e, IsStale(false)))?;
        let frame = match (author, self.own_timeout(patience)) {
            (Author::Operator, None) => Frame::Session,
            (Author::Operator, Some(limit)) => Frame::Transaction(limit),
            (Author::Client, _) => Frame::Undone(patience.left()),
        };
        let work = run_read(lease.connection(), read, values, frame, patience);
        match patience.guard(work).await {
            Ok(body) => {
                lease.give_back();
                Ok(body)
            }
            Err(failure) => {
                let is_stale = failure.settle(lease);
                Err((failure.error, IsStale(is_stale)))
            }
        }
    }

    /// A connection with an open transaction.
    async fn begin(&self, patience: Patience) -> Result<Lease<Postgres>, OriginError> {
        // Said in each transaction: what a session is given at its start, a pooler may drop.
        let idle = millis(WRITE_IDLE_LIMIT);
        let mut sql = format!("BEGIN; SET LOCAL idle_in_transaction_session_timeout = {idle}");
        if let Some(limit) = self.own_timeout(patience) {
            sql.push_str(&format!("; SET LOCAL statement_timeout = {}", millis(limit)));
        }
        loop {
            let mut lease = self.writes.lease(patience.left()).await?;
            let work = simple(lease.connection(), sql.clone(), patience);
            let Err(failure) = patience.guard(work).await else { return Ok(lease) };
            // The idle connections are forgotten with the first stale one, so this ends.
            if !failure.settle(lease) {
                return Err(failure.error);
            }
        }
    }

    async fn run_write(
        &self,
        connection: &mut PgConnection,
        write: &WriteStatement,
        values: &[Value],
        patience: Patience,
    ) -> Result<(u64, Vec<Map<String, Json>>), Failure> {
        let deadline = patience.deadline();
        let arguments = bind::arguments(values)?;
        let sql = statement::plain(&write.sql, &write.params);
        if !self.is_returning(connection, &sql, write, patience).await? {
            let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
            let done = query.execute(connection).await.map_err(|e| classify(e, deadline))?;
            return Ok((done.rows_affected(), Vec::new()));
        }
        let sql = statement::write_rows(&write.sql, &write.params);
        let returned = returned_rows(connection, sql, arguments, deadline).await?;
        Ok((u64::try_from(returned.len()).unwrap_or(u64::MAX), returned))
    }

    async fn is_returning(
        &self,
        connection: &mut PgConnection,
        sql: &str,
        write: &WriteStatement,
        patience: Patience,
    ) -> Result<bool, Failure> {
        if let Some(known) = self.returning.get(sql) {
            return Ok(known);
        }
        let types = bind::types(&write.params);
        let text = sqlx::SqlSafeStr::into_sql_str(AssertSqlSafe(sql));
        let prepared = connection.prepare_with(text, &types).await;
        let prepared = prepared.map_err(|e| classify(e, patience.deadline()))?;
        let is_returning = !prepared.columns().is_empty();
        self.returning.insert(sql.to_owned(), is_returning);
        Ok(is_returning)
    }

    /// The statement timeout to set, if that of the session will not do: the deadline is another
    /// one, or waiting has used up a good part of it.
    fn own_timeout(&self, patience: Patience) -> Option<Duration> {
        let (left, session) = (patience.left(), self.session_deadline);
        (left > session || left < session * 7 / 8).then_some(left)
    }

    async fn prepare(
        &self,
        pool: &Arc<Pool<Postgres>>,
        subject: prepare::Subject<'_>,
    ) -> Result<Prepared, OriginError> {
        let patience = Patience::new(self.session_deadline);
        let mut lease = pool.lease(patience.left()).await?;
        let work = prepare::examine(lease.connection(), subject, patience.deadline());
        // The connection is closed afterwards: its cache is full of statements that never run.
        patience.guard(work).await.map_err(|failure| failure.error)
    }
}

/// The connection had died while it was idle, so another one may do.
struct IsStale(bool);

/// Who wrote a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Author {
    /// It stands in the configuration.
    Operator,
    /// It came with a request.
    Client,
}

#[async_trait]
impl Origin for PostgresOrigin {
    async fn load(
        &self,
        read: &ReadStatement,
        values: &[Value],
        deadline: Duration,
    ) -> Result<Option<Bytes>, OriginError> {
        self.read(read, values, deadline, Author::Operator).await
    }

    async fn query(
        &self,
        read: &ReadStatement,
        values: &[Value],
        deadline: Duration,
    ) -> Result<Option<Bytes>, OriginError> {
        self.read(read, values, deadline, Author::Client).await
    }

    async fn execute(
        &self,
        write: &WriteStatement,
        values: &[Value],
        deadline: Duration,
    ) -> Result<Written, OriginError> {
        let patience = Patience::new(deadline);
        let mut lease = self.begin(patience).await?;
        let may_identify = lease.identity().is_some();
        let work = async {
            let written = self.run_write(lease.connection(), write, values, patience).await?;
            let asked = Instant::now();
            let said = identity::transaction(lease.connection(), may_identify, patience).await?;
            Ok((written, said, asked))
        };
        match patience.guard(work).await {
            Ok(((rows, returned), (xid, identity), asked)) => {
                lease.hear(identity, asked);
                let transaction = Box::new(PostgresTransaction { lease, deadline, xid });
                Ok(Written { rows, returned, xid, transaction })
            }
            Err(failure) => {
                if failure.is_usable() {
                    let rollback = simple(lease.connection(), "ROLLBACK".to_owned(), patience);
                    if patience.guard(rollback).await.is_ok() {
                        lease.give_back();
                    }
                } else {
                    failure.settle(lease);
                }
                Err(failure.error)
            }
        }
    }

    async fn prepare_read(&self, read: &ReadStatement) -> Result<Prepared, OriginError> {
        self.prepare(&self.reads, prepare::Subject::Read(read)).await
    }

    async fn prepare_write(&self, write: &WriteStatement) -> Result<Prepared, OriginError> {
        self.prepare(&self.writes, prepare::Subject::Write(write)).await
    }

    async fn reads_from(&self, read: &ReadStatement) -> Result<Footprint, OriginError> {
        self.footprint(read).await
    }

    async fn changes(&self, write: &WriteStatement) -> Result<Changes, OriginError> {
        self.consequences(write).await
    }

    async fn ping(&self) -> Result<(), OriginError> {
        let patience = Patience::new(self.session_deadline);
        loop {
            let mut lease = self.reads.lease(patience.left()).await?;
            let ping = lease.connection().ping();
            let work = async { ping.await.map_err(|e| classify(e, patience.deadline())) };
            let Err(failure) = patience.guard(work).await else {
                lease.give_back();
                return Ok(());
            };
            if !failure.settle(lease) {
                return Err(failure.error);
            }
        }
    }

    async fn has_ended(&self, xid: Xid) -> Result<bool, OriginError> {
        self.xact_has_ended(xid).await
    }

    async fn identity(&self) -> Result<OriginIdentity, OriginError> {
        self.ask_identity().await
    }

    fn last_identity(&self) -> Option<OriginIdentity> {
        self.newest.get()
    }

    fn kind(&self) -> &'static str {
        "postgres"
    }
}

async fn run_read(
    connection: &mut PgConnection,
    read: &ReadStatement,
    values: &[Value],
    frame: Frame,
    patience: Patience,
) -> Result<Option<Bytes>, Failure> {
    let arguments = bind::arguments(values)?;
    let query = sqlx::query_with(AssertSqlSafe(statement::read_rows(read)), arguments);
    let query = query.persistent(frame.is_remembered());
    if let Some(begin) = frame.begin() {
        simple(connection, begin, patience).await?;
    }
    let result = collect(connection, query, Body::new(read.rows), patience.deadline()).await;
    let is_at_rest = result.as_ref().err().is_none_or(Failure::is_usable);
    if let (Some(end), true) = (frame.end(), is_at_rest) {
        simple(connection, end.to_owned(), patience).await?;
    }
    result
}

async fn collect(
    connection: &mut PgConnection,
    query: Query<'_, Postgres, PgArguments>,
    mut body: Body,
    deadline: Duration,
) -> Result<Option<Bytes>, Failure> {
    let mut rows = query.fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(|e| classify(e, deadline))? {
        body.push(json(&row)?.as_bytes()).map_err(Failure::dirty)?;
    }
    Ok(body.finish())
}

async fn returned_rows(
    connection: &mut PgConnection,
    sql: String,
    arguments: PgArguments,
    deadline: Duration,
) -> Result<Vec<Map<String, Json>>, Failure> {
    let mut rows = sqlx::query_with(AssertSqlSafe(sql), arguments).fetch(connection);
    let mut returned = Vec::new();
    let mut size = 0;
    while let Some(row) = rows.try_next().await.map_err(|e| classify(e, deadline))? {
        let row = json(&row)?;
        size += row.len();
        if size > BODY_LIMIT {
            return Err(Failure::dirty(OriginError::TooLarge));
        }
        returned.push(object(row).map_err(|e| Failure::dirty(undecodable(&e)))?);
    }
    Ok(returned)
}

/// The JSON in a wrapped statement's only column.
fn json(row: &PgRow) -> Result<&str, Failure> {
    let value = row.try_get_raw(0).map_err(|e| Failure::dirty(undecodable(&e)))?;
    if value.is_null() {
        return Ok("null");
    }
    value.as_str().map_err(|e| Failure::dirty(undecodable(e.as_ref())))
}

/// Runs commands without parameters, in one message.
async fn simple(
    connection: &mut PgConnection,
    sql: String,
    patience: Patience,
) -> Result<(), Failure> {
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await;
    done.map(|_| ()).map_err(|e| classify(e, patience.deadline()))
}

/// Postgres' unit for timeouts; at least 1, since 0 means none.
fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX).max(1)
}
