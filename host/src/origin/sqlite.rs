//! SQLite as the origin: the embedded default.
//!
//! What differs from Postgres, because SQLite has no such types:
//! - parameters: bool is bound as 0 or 1; `numeric` as INTEGER if it is whole and fits, else as REAL;
//!   `uuid`, dates, times and JSON as their canonical text; `bytea` as a BLOB; arrays as the text of
//!   a JSON array, for `json_each($1)`;
//! - answers: columns declared BOOLEAN become JSON booleans, columns declared JSON or JSONB become
//!   the document that their text is; a BLOB is `\x` and hexadecimal digits, as in Postgres.
//!
//! Readers open the file read-only, so that no statement, whatever it is, can write through them.

mod bind;
mod chance;
mod errors;
mod identity;
mod plan;
mod program;
mod relations;
mod row;
mod scan;
mod session;
mod text;
mod transaction;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use quick_cache::sync::Cache;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Either, Executor as _, Sqlite};
use tokio::time::Instant;

use super::attempt::{CallTime, FailedAttempt};
use super::connect::invalid;
use super::identity::{Newest, ServerIdentity};
use super::pool::{ConnectionPool, Identify, PooledConnection};
use super::rows::{Body, Texts};
use super::{
    Changes, ConnectError, Fetched, Footprint, Origin, OriginError, OriginIdentity, OriginOptions,
    Prepared, ReadStatement, Uncommitted, Value, WriteStatement, Xid,
};
use errors::{classify, unreadable};
use plan::StatementPlan;
use scan::Scan;
use session::{Interrupter, begin, command, end};
use transaction::{DoubtfulConnections, SqliteTransaction};

/// How long a statement waits for another process's lock. Less than most deadlines, so that the
/// caller hears the reason.
const BUSY_LIMIT: Duration = Duration::from_secs(1);

/// Begin a transaction and answer, last, the version of the schema.
const BEGIN_READ: &str = "BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1; PRAGMA schema_version";
const BEGIN_WRITE: &str =
    "BEGIN IMMEDIATE; SELECT 1 FROM sqlite_schema LIMIT 1; PRAGMA schema_version";

/// Statements whose plan is remembered.
const PLANS_LIMIT: usize = 1024;

/// A SQLite file.
pub struct SqliteOrigin {
    reads: Arc<ConnectionPool<Sqlite>>,
    /// SQLite has one writer at a time. Waiting in this pool is fair, waiting for SQLite's lock is
    /// not.
    writer: Arc<ConnectionPool<Sqlite>>,
    /// For what is asked of the file beside reads and writes.
    questions: Arc<ConnectionPool<Sqlite>>,
    options: SqliteConnectOptions,
    newest: Arc<Newest>,
    doubts: DoubtfulConnections,
    /// By file, schema version and text.
    plans: Cache<(Option<OriginIdentity>, i64, String), Arc<StatementPlan>>,
    deadline: Duration,
}

impl SqliteOrigin {
    /// An origin that opens its file when it is used. The file must exist; with `?mode=rwc` in the
    /// URL, the first connection for writes makes it.
    ///
    /// # Errors
    /// The URL is wrong, or names a database in memory: every connection would have its own.
    pub fn connect(url: &str, options: &OriginOptions) -> Result<Self, ConnectError> {
        let connect: SqliteConnectOptions = url.parse().map_err(|e| invalid("sqlite", &e))?;
        let is_in_memory = url.contains(":memory:") || url.contains("mode=memory");
        if is_in_memory || connect.get_filename() == Path::new("") {
            let reason = "it names no file (a database in memory can't be shared by readers and \
                          a writer)";
            return Err(ConnectError::Invalid { kind: "sqlite", reason: reason.to_owned() });
        }
        let connect = connect.disable_statement_logging().busy_timeout(BUSY_LIMIT);
        let read_only = connect.clone().create_if_missing(false).read_only(true);
        let newest = Arc::new(Newest::default());
        Ok(Self {
            questions: ConnectionPool::new(read_only.clone(), 1, &newest),
            reads: ConnectionPool::new(read_only, options.max_loads, &newest),
            // In this mode, which the file keeps, readers and the writer don't wait for each other.
            writer: ConnectionPool::new(
                connect.clone().journal_mode(SqliteJournalMode::Wal),
                1,
                &newest,
            ),
            options: connect,
            newest,
            doubts: DoubtfulConnections::default(),
            plans: Cache::new(PLANS_LIMIT),
            deadline: options.deadline,
        })
    }

    async fn read(
        &self,
        lease: &mut PooledConnection<Sqlite>,
        read: &ReadStatement,
        values: &[Value],
        columns: &[String],
        patience: CallTime,
    ) -> Result<Fetched, FailedAttempt> {
        plan::scan_read(&read.sql)?;
        let arguments = bind::arguments(values)?;
        let _alarm = Interrupter::set(lease.connection(), patience).await?;
        let version = begin(lease.connection(), BEGIN_READ, patience).await?;
        let plan = self.plan(lease, &read.sql, version, patience).await?;
        let places = plan.places(columns);
        let (mut body, mut texts) = (Body::new(read.rows), Texts::new(columns));
        let mut text = Vec::new();
        let mut events = lease.connection().fetch_many(statement(&plan, arguments));
        let mut is_ended = false;
        while !body.is_complete() {
            let event = events.try_next().await.map_err(|e| classify(&e, patience.deadline()))?;
            match event {
                Some(Either::Right(row)) => {
                    write_row(&row, &plan, &mut text)?;
                    body.push(&text).map_err(FailedAttempt::usable)?;
                    read_texts(&row, &plan, &places, &mut texts)?;
                }
                Some(Either::Left(_)) => is_ended = true,
                None if is_ended => break,
                None => return Err(FailedAttempt::broken()),
            }
        }
        let (rows, missing) = texts.finish();
        Ok(Fetched { body: body.finish(), rows, missing })
    }

    async fn write(
        &self,
        lease: &mut PooledConnection<Sqlite>,
        write: &WriteStatement,
        values: &[Value],
        columns: &[String],
        patience: CallTime,
    ) -> Result<StatementEffect, FailedAttempt> {
        plan::scan_write(&write.sql)?;
        let arguments = bind::arguments(values)?;
        let _alarm = Interrupter::set(lease.connection(), patience).await?;
        let version = begin(lease.connection(), BEGIN_WRITE, patience).await?;
        let plan = self.plan(lease, &write.sql, version, patience).await?;
        let places = plan.places(columns);
        let mut texts = Texts::new(columns);
        let (mut changed, mut returned) = (None, 0);
        let mut events = lease.connection().fetch_many(statement(&plan, arguments));
        while let Some(event) =
            events.try_next().await.map_err(|e| classify(&e, patience.deadline()))?
        {
            match event {
                Either::Left(done) => changed = Some(done.rows_affected()),
                Either::Right(row) => {
                    returned += 1;
                    read_texts(&row, &plan, &places, &mut texts)?;
                }
            }
        }
        let Some(changed) = changed else { return Err(FailedAttempt::broken()) };
        let rows = if plan.is_returning() { returned } else { changed };
        if rows > 0 && !plan.is_returning() {
            texts.miss_all();
        }
        let (returned, missing) = texts.finish();
        Ok(StatementEffect { rows, returned, missing })
    }

    /// What is known of a statement in this version of the schema, found out once.
    async fn plan(
        &self,
        lease: &mut PooledConnection<Sqlite>,
        sql: &str,
        version: i64,
        patience: CallTime,
    ) -> Result<Arc<StatementPlan>, FailedAttempt> {
        let key = (lease.identity(), version, sql.to_owned());
        if let Some(plan) = self.plans.get(&key) {
            return Ok(plan);
        }
        let plan =
            StatementPlan::find(lease.connection(), sql, version, patience.deadline()).await?;
        let plan = Arc::new(plan);
        self.plans.insert(key, Arc::clone(&plan));
        Ok(plan)
    }

    async fn examine(
        &self,
        pool: &Arc<ConnectionPool<Sqlite>>,
        sql: &str,
        declared: usize,
        scan: fn(&str) -> Result<Scan, FailedAttempt>,
    ) -> Result<Prepared, OriginError> {
        let patience = CallTime::new(self.deadline);
        let mut lease = pool.lease(patience.left()).await?;
        let work = async {
            let scan = scan(sql)?;
            let connection = lease.connection();
            let _alarm = Interrupter::set(connection, patience).await?;
            let version = begin(connection, BEGIN_READ, patience).await?;
            let plan = StatementPlan::find(connection, sql, version, patience.deadline()).await?;
            Ok(plan.compare(&scan, declared))
        };
        patience.guard(work).await.map_err(|failure| failure.error)
    }
}

#[async_trait]
impl Origin for SqliteOrigin {
    async fn load(
        &self,
        read: &ReadStatement,
        values: &[Value],
        columns: &[String],
        deadline: Duration,
    ) -> Result<Fetched, OriginError> {
        let patience = CallTime::new(deadline);
        let mut lease = self.reads.lease(patience.left()).await?;
        let work = self.read(&mut lease, read, values, columns, patience);
        let fetched = patience.guard(work).await;
        if fetched.as_ref().err().is_none_or(FailedAttempt::is_usable) {
            // If the rollback fails, closing the connection ends the transaction.
            let _ = end(lease, "ROLLBACK", patience).await;
        }
        fetched.map_err(|failure| failure.error)
    }

    /// Runs like a read of the configuration: the file is open for reading alone, and a statement
    /// that begins with SELECT, WITH or VALUES can't change its connection.
    async fn query(
        &self,
        read: &ReadStatement,
        values: &[Value],
        deadline: Duration,
    ) -> Result<Option<Bytes>, OriginError> {
        Ok(self.load(read, values, &[], deadline).await?.body)
    }

    async fn execute(
        &self,
        write: &WriteStatement,
        values: &[Value],
        columns: &[String],
        deadline: Duration,
    ) -> Result<Uncommitted, OriginError> {
        let patience = CallTime::new(deadline);
        let mut lease = self.writer.lease(patience.left()).await?;
        let work = self.write(&mut lease, write, values, columns, patience);
        match patience.guard(work).await {
            Ok(StatementEffect { rows, returned, missing }) => {
                let (reads, doubts) = (Arc::clone(&self.reads), self.doubts.clone());
                let transaction = Box::new(SqliteTransaction { lease, deadline, reads, doubts });
                Ok(Uncommitted { rows, returned, missing, xid: None, transaction })
            }
            Err(failure) => {
                if failure.is_usable() {
                    // If the rollback fails too, closing the connection rolls back.
                    let _ = end(lease, "ROLLBACK", patience).await;
                }
                Err(failure.error)
            }
        }
    }

    async fn prepare_read(&self, read: &ReadStatement) -> Result<Prepared, OriginError> {
        let (sql, declared) = (&read.sql, read.params.len());
        let mut prepared = self.examine(&self.reads, sql, declared, plan::scan_read).await?;
        let (_schema, programs) = self.look_into(sql).await?;
        chance::judge(&programs, &mut prepared);
        Ok(prepared)
    }

    async fn prepare_write(&self, write: &WriteStatement) -> Result<Prepared, OriginError> {
        self.examine(&self.writer, &write.sql, write.params.len(), plan::scan_write).await
    }

    async fn reads_from(&self, read: &ReadStatement) -> Result<Footprint, OriginError> {
        self.footprint(read).await
    }

    async fn changes(&self, write: &WriteStatement) -> Result<Changes, OriginError> {
        self.consequences(write).await
    }

    async fn ping(&self) -> Result<(), OriginError> {
        let patience = CallTime::new(self.deadline);
        let mut lease = self.questions.lease(patience.left()).await?;
        let work = async {
            let _alarm = Interrupter::set(lease.connection(), patience).await?;
            // Opening a file reads nothing of it; this statement does.
            command(lease.connection(), "SELECT 1 FROM sqlite_schema LIMIT 1", patience).await
        };
        patience.guard(work).await.map_err(|failure| failure.error)?;
        lease.give_back();
        Ok(())
    }

    /// Opens the file again: by then SQLite has decided what becomes of a commit in doubt.
    async fn has_ended(&self, _xid: Xid) -> Result<bool, OriginError> {
        if self.doubts.are_open() {
            return Ok(false);
        }
        self.questions.forget_idle();
        self.ping().await?;
        Ok(true)
    }

    async fn identity(&self) -> Result<OriginIdentity, OriginError> {
        let asked = Instant::now();
        let identity = Sqlite::place(&self.options).ok_or_else(|| {
            let file = self.options.get_filename().display();
            OriginError::Unavailable(format!("there is no file {file}"))
        })?;
        let server = ServerIdentity { identity: Some(identity), is_standby: false };
        self.newest.hear(server, asked);
        Ok(identity)
    }

    fn last_identity(&self) -> Option<OriginIdentity> {
        self.newest.get()
    }

    fn kind(&self) -> &'static str {
        "sqlite"
    }
}

/// What a write's statement did.
struct StatementEffect {
    rows: u64,
    returned: Vec<Vec<Option<String>>>,
    missing: Vec<String>,
}

fn statement(
    plan: &StatementPlan,
    arguments: SqliteArguments,
) -> Query<'_, Sqlite, SqliteArguments> {
    sqlx::query_with(AssertSqlSafe(plan.sql()), arguments)
}

/// Adds the texts of the asked columns.
fn read_texts(
    row: &SqliteRow,
    plan: &StatementPlan,
    places: &[Option<usize>],
    texts: &mut Texts<'_>,
) -> Result<(), FailedAttempt> {
    let read = text::read(row, plan, places, texts).map_err(|e| unreadable(e.as_ref()))?;
    read.map_err(FailedAttempt::dirty)
}

/// Replaces `text` with the row as a JSON object.
fn write_row(
    row: &SqliteRow,
    plan: &StatementPlan,
    text: &mut Vec<u8>,
) -> Result<(), FailedAttempt> {
    text.clear();
    if row::is_too_large(row).map_err(|error| unreadable(error.as_ref()))? {
        return Err(FailedAttempt::usable(OriginError::TooLarge));
    }
    row::write(row, plan, text).map_err(|error| unreadable(error.as_ref()))
}
