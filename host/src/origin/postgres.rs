//! Postgres as the origin.
//!
//! The server itself makes the JSON (`row_to_json`), so that every type, also those that this host
//! has never heard of, is spelled as Postgres spells it.
//!
//! A read runs in a read-only transaction, and what it did to its session is taken back (see
//! `frame`). Which functions a statement may call is up to the database role.

mod bind;
mod errors;
mod frame;
mod identity;
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
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Postgres};
use tokio::time::Instant;

use super::attempt::{Failure, Patience};
use super::connect::invalid;
use super::identity::Newest;
use super::pool::{Lease, Pool};
use super::{
    Changes, ConnectError, Fetched, Footprint, Origin, OriginError, OriginIdentity, OriginOptions,
    Prepared, ReadStatement, Value, WRITE_IDLE_LIMIT, WriteStatement, Written, Xid,
};
use errors::{classify, is_outdated};
use read::{Author, Question};
use transaction::PostgresTransaction;
use write::Done;

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
        })
    }

    /// A connection with an open transaction.
    async fn begin(&self, patience: Patience) -> Result<Lease<Postgres>, OriginError> {
        loop {
            let mut lease = self.writes.lease(patience.left()).await?;
            let work = simple(lease.connection(), self.begin_write(patience), patience);
            let Err(failure) = patience.guard(work).await else { return Ok(lease) };
            // The idle connections are forgotten with the first stale one, so this ends.
            if !failure.settle(lease) {
                return Err(failure.error);
            }
        }
    }

    /// What begins a write's transaction.
    fn begin_write(&self, patience: Patience) -> String {
        // Said in each transaction: what a session is given at its start, a pooler may drop.
        let idle = millis(WRITE_IDLE_LIMIT);
        let mut sql = format!("BEGIN; SET LOCAL idle_in_transaction_session_timeout = {idle}");
        if let Some(limit) = self.own_timeout(patience) {
            sql.push_str(&format!("; SET LOCAL statement_timeout = {}", millis(limit)));
        }
        sql
    }

    /// Runs a write; once more in a new transaction if its statement has to be prepared anew.
    async fn run_write(
        &self,
        connection: &mut PgConnection,
        (write, values, columns): (&WriteStatement, &[Value], &[String]),
        patience: Patience,
    ) -> Result<Done, Failure> {
        match write::run(connection, write, values, columns, patience).await {
            Err(failure) if is_outdated(&failure) => {
                simple(connection, "ROLLBACK".to_owned(), patience).await?;
                read::forget_statements(connection, patience).await?;
                simple(connection, self.begin_write(patience), patience).await?;
                write::run(connection, write, values, columns, patience).await
            }
            done => done,
        }
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

#[async_trait]
impl Origin for PostgresOrigin {
    async fn load(
        &self,
        read: &ReadStatement,
        values: &[Value],
        columns: &[String],
        deadline: Duration,
    ) -> Result<Fetched, OriginError> {
        let (author, patience) = (Author::Operator, Patience::new(deadline));
        self.read(Question { read, values, columns, author, patience }).await
    }

    async fn query(
        &self,
        read: &ReadStatement,
        values: &[Value],
        deadline: Duration,
    ) -> Result<Option<Bytes>, OriginError> {
        let (author, patience) = (Author::Client, Patience::new(deadline));
        let question = Question { read, values, columns: &[], author, patience };
        Ok(self.read(question).await?.body)
    }

    async fn execute(
        &self,
        write: &WriteStatement,
        values: &[Value],
        columns: &[String],
        deadline: Duration,
    ) -> Result<Written, OriginError> {
        let patience = Patience::new(deadline);
        let mut lease = self.begin(patience).await?;
        let may_identify = lease.identity().is_some();
        let work = async {
            let (connection, what) = (lease.connection(), (write, values, columns));
            let written = self.run_write(connection, what, patience).await?;
            let asked = Instant::now();
            let said = identity::transaction(lease.connection(), may_identify, patience).await?;
            Ok((written, said, asked))
        };
        match patience.guard(work).await {
            Ok((Done { rows, returned, missing }, (xid, identity), asked)) => {
                lease.hear(identity, asked);
                let transaction = Box::new(PostgresTransaction { lease, deadline, xid });
                Ok(Written { rows, returned, missing, xid, transaction })
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
            let mut lease = self.questions.lease(patience.left()).await?;
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
    patience: Patience,
) -> Result<(), Failure> {
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await;
    done.map(|_| ()).map_err(|e| classify(e, patience.deadline()))
}

/// Postgres' unit for timeouts; at least 1, since 0 means none.
fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX).max(1)
}
