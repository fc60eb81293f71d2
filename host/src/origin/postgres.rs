//! Postgres as the origin.
//!
//! The server itself makes the JSON (`row_to_json`), so that every type, known to this host or not,
//! is spelled as Postgres spells it.
//!
//! A read runs in a read-only transaction, and what it did to its session is undone (see `frame`).
//! Which functions a statement may call is up to the database role.

mod address;
mod bind;
mod described;
mod door;
mod errors;
mod frame;
mod identity;
mod lending;
mod prepare;
mod questions;
mod read;
mod relations;
mod session;
mod statement;
mod text;
mod transaction;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres};
use tokio::time::Instant;

use super::attempt::{CallTime, Condition, FailedAttempt};
use super::identity::Newest;
use super::pool::{ConnectionPool, PooledConnection};
use super::{
    Changes, ConnectError, Fetched, Footprint, Origin, OriginError, OriginIdentity, OriginOptions,
    Prepared, ReadStatement, Uncommitted, Value, WRITE_IDLE_LIMIT, WriteStatement, Xid,
};
use address::Address;
use door::Door;
use errors::{classify, is_outdated, is_read_only};
use lending::Lending;
use read::{Author, Question, StatementNames};
use transaction::PostgresTransaction;
use write::WriteEffect;

/// How often, while there is something to do, a new connection is opened to see where the address
/// leads. For so long at most, reads stay with a server that the address has left and that still
/// answers. A shorter interval would cost servers too many logins, as hosts may be many.
const LOOKED_EVERY: Duration = Duration::from_secs(5);

/// Connections for questions: one may wait for a server that hangs while another one serves the
/// next question.
const MAX_QUESTIONS: u32 = 2;

/// A Postgres database.
pub struct PostgresOrigin {
    reads: Arc<ConnectionPool<Postgres>>,
    writes: Arc<ConnectionPool<Postgres>>,
    questions: Arc<ConnectionPool<Postgres>>,
    newest: Arc<Newest>,
    lending: Arc<Lending>,
    /// Whether the server that the last write met refuses to write.
    is_read_only: AtomicBool,
    /// The statement timeout that a session has from its beginning.
    session_deadline: Duration,
}

impl PostgresOrigin {
    /// An origin that connects when it is used.
    ///
    /// # Errors
    /// The URL is wrong.
    pub fn connect(url: &str, options: &OriginOptions) -> Result<Self, ConnectError> {
        let address = Address::parse(url)?;
        let lending = Arc::new(Lending::new(options.pooler, address.settings()));
        let deadline_ms = millis(options.deadline);
        let again = options.again.as_ref();
        let door = |is_read_only| Door::new(&address, &lending, again, deadline_ms, is_read_only);
        let newest = Arc::new(Newest::default());
        Ok(Self {
            reads: ConnectionPool::new(door(true), options.max_loads, &newest),
            writes: ConnectionPool::new(door(false), options.max_writes, &newest),
            questions: ConnectionPool::new(door(false), MAX_QUESTIONS, &newest),
            newest,
            lending,
            is_read_only: AtomicBool::new(false),
            session_deadline: options.deadline,
        })
    }

    /// A connection. If no connection was opened for `LOOKED_EVERY`, a look at where the address
    /// leads is started beside it.
    async fn lease(
        &self,
        pool: &Arc<ConnectionPool<Postgres>>,
        patience: CallTime,
    ) -> Result<PooledConnection<Postgres>, OriginError> {
        // Lent connections are asked in their own transactions (`ASKED_EVERY`).
        if !self.lending.is_lent() && self.newest.begins_look(LOOKED_EVERY) {
            let (questions, within) = (Arc::clone(&self.questions), self.session_deadline);
            tokio::spawn(async move {
                if let Err(error) = questions.look(within).await {
                    tracing::debug!(%error, "can't see where the origin's address leads now");
                }
            });
        }
        pool.lease(patience.left()).await
    }

    /// A connection with an open transaction.
    async fn begin(&self, patience: CallTime) -> Result<PooledConnection<Postgres>, OriginError> {
        loop {
            let mut lease = self.lease(&self.writes, patience).await?;
            let work = simple(lease.connection(), self.begin_write(patience), patience);
            let Err(failure) = patience.guard(work).await else { return Ok(lease) };
            // The idle connections are forgotten with the first stale one, so this ends.
            if !self.settle(&failure, lease) {
                return Err(failure.error);
            }
        }
    }

    /// What begins a write's transaction.
    fn begin_write(&self, patience: CallTime) -> String {
        // Set in each transaction: a pooler may drop what a session was given at its start.
        let idle = millis(WRITE_IDLE_LIMIT);
        let mut sql = format!("BEGIN; SET LOCAL idle_in_transaction_session_timeout = {idle}");
        if let Some(limit) = self.own_timeout(patience) {
            sql.push_str(&format!("; SET LOCAL statement_timeout = {}", millis(limit)));
        }
        sql.push_str(self.lending.settings());
        sql
    }

    /// Runs a write and leaves its transaction open. With an error, true if another attempt may
    /// succeed.
    async fn attempt_write(
        &self,
        what: (&WriteStatement, &[Value], &[String]),
        patience: CallTime,
    ) -> Result<Uncommitted, (OriginError, bool)> {
        let mut lease = self.begin(patience).await.map_err(|error| (error, false))?;
        let may_identify = lease.identity().is_some();
        let work = async {
            let written = self.run_write(lease.connection(), what, patience).await?;
            let asked = Instant::now();
            let said = identity::transaction(lease.connection(), may_identify, patience).await?;
            Ok((written, said, asked))
        };
        match patience.guard(work).await {
            Ok((WriteEffect { rows, returned, missing }, (xid, identity), asked)) => {
                lease.hear(identity, asked);
                if self.is_read_only.swap(false, Ordering::AcqRel) {
                    // The address leads to another server now: the former one shall not be asked.
                    self.reads.renew();
                    self.questions.renew();
                }
                let deadline = patience.deadline();
                let transaction = Box::new(PostgresTransaction { lease, deadline, xid });
                Ok(Uncommitted { rows, returned, missing, xid, transaction })
            }
            Err(failure) if is_read_only(&failure) => {
                let OriginError::Rejected { message, .. } = &failure.error else {
                    return Err((failure.error, false));
                };
                let message = format!("it does not write: {message}");
                self.is_read_only.store(true, Ordering::Release);
                // The address may lead to another server by now.
                if lease.is_reused() {
                    self.writes.renew();
                }
                Err((OriginError::Unavailable(message), lease.is_reused()))
            }
            Err(failure) if failure.is_usable() => {
                let rollback = simple(lease.connection(), "ROLLBACK".to_owned(), patience);
                if patience.guard(rollback).await.is_ok() {
                    lease.give_back();
                }
                Err((failure.error, false))
            }
            Err(failure) => {
                let is_shared = failure.connection == Condition::Shared;
                let may_do = self.settle(&failure, lease);
                Err((failure.error, is_shared && may_do))
            }
        }
    }

    /// Runs a write; once more in a new transaction if its statement has to be prepared anew.
    async fn run_write(
        &self,
        connection: &mut PgConnection,
        (write, values, columns): (&WriteStatement, &[Value], &[String]),
        patience: CallTime,
    ) -> Result<WriteEffect, FailedAttempt> {
        if self.lending.is_lent() {
            return write::run(connection, write, values, columns, StatementNames::None, patience)
                .await;
        }
        match write::run(connection, write, values, columns, StatementNames::Kept, patience).await {
            Err(failure) if is_outdated(&failure) => {
                simple(connection, "ROLLBACK".to_owned(), patience).await?;
                read::forget_statements(connection, patience).await?;
                simple(connection, self.begin_write(patience), patience).await?;
                write::run(connection, write, values, columns, StatementNames::Kept, patience).await
            }
            done => done,
        }
    }

    /// Gives the connection back or closes it, as the failure demands. True if nothing was
    /// attempted yet and another attempt may succeed: on another connection, or on one taken for
    /// lent.
    fn settle(&self, failure: &FailedAttempt, lease: PooledConnection<Postgres>) -> bool {
        if failure.connection == Condition::Shared && !self.lending.is_lent() {
            self.lending.note();
            return true;
        }
        failure.settle(lease)
    }

    /// The statement timeout to set; `None` if the session's own will do. It will not if the
    /// session is lent, the deadline is longer, or waiting has used up more than an eighth of the
    /// session's.
    fn own_timeout(&self, patience: CallTime) -> Option<Duration> {
        let (left, session) = (patience.left(), self.session_deadline);
        (self.lending.is_lent() || left > session || left < session * 7 / 8).then_some(left)
    }

    async fn prepare(
        &self,
        pool: &Arc<ConnectionPool<Postgres>>,
        subject: prepare::ExaminedStatement<'_>,
    ) -> Result<Prepared, OriginError> {
        let patience = CallTime::new(self.session_deadline);
        let mut lease = pool.lease(patience.left()).await?;
        let work = prepare::examine(lease.connection(), subject, &self.lending, patience);
        // The connection is closed afterwards: its cache is full of statements that never run.
        patience.guard(work).await.map_err(|failure| failure.error)
    }
}

#[async_trait]
impl Origin for PostgresOrigin {
    async fn load(
        &self,
        read: &ReadStatement,
        values: &[Value],
        columns: &[String],
        deadline: Duration,
    ) -> Result<Fetched, OriginError> {
        let (author, patience) = (Author::Operator, CallTime::new(deadline));
        self.read(Question { read, values, columns, author, patience }).await
    }

    async fn query(
        &self,
        read: &ReadStatement,
        values: &[Value],
        deadline: Duration,
    ) -> Result<Option<Bytes>, OriginError> {
        let (author, patience) = (Author::Client, CallTime::new(deadline));
        let question = Question { read, values, columns: &[], author, patience };
        Ok(self.read(question).await?.body)
    }

    async fn execute(
        &self,
        write: &WriteStatement,
        values: &[Value],
        columns: &[String],
        deadline: Duration,
    ) -> Result<Uncommitted, OriginError> {
        let patience = CallTime::new(deadline);
        match self.attempt_write((write, values, columns), patience).await {
            Err((_, true)) => self.attempt_write((write, values, columns), patience).await,
            done => done,
        }
        .map_err(|(error, _)| error)
    }

    async fn prepare_read(&self, read: &ReadStatement) -> Result<Prepared, OriginError> {
        self.prepare(&self.reads, prepare::ExaminedStatement::Read(read)).await
    }

    async fn prepare_write(&self, write: &WriteStatement) -> Result<Prepared, OriginError> {
        self.prepare(&self.writes, prepare::ExaminedStatement::Write(write)).await
    }

    async fn reads_from(&self, read: &ReadStatement) -> Result<Footprint, OriginError> {
        self.footprint(read).await
    }

    async fn changes(&self, write: &WriteStatement) -> Result<Changes, OriginError> {
        self.consequences(write).await
    }

    async fn ping(&self) -> Result<(), OriginError> {
        let patience = CallTime::new(self.session_deadline);
        loop {
            let mut lease = self.lease(&self.questions, patience).await?;
            let ping = lease.connection().ping();
            let work = async { ping.await.map_err(|e| classify(e, patience.deadline())) };
            let Err(failure) = patience.guard(work).await else {
                lease.give_back();
                return Ok(());
            };
            if !self.settle(&failure, lease) {
                return Err(failure.error);
            }
        }
    }

    async fn has_ended(&self, xid: Xid) -> Result<bool, OriginError> {
        self.xact_has_ended(xid).await
    }

    async fn has_committed(&self, xid: Xid) -> Result<Option<bool>, OriginError> {
        self.xact_has_committed(xid).await
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

/// Runs commands without parameters, in one message.
async fn simple(
    connection: &mut PgConnection,
    sql: String,
    patience: CallTime,
) -> Result<(), FailedAttempt> {
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await;
    done.map(|_| ()).map_err(|e| classify(e, patience.deadline()))
}

/// Milliseconds, Postgres' unit for timeouts; at least 1, since 0 means no timeout.
fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX).max(1)
}
