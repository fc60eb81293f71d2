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
mod errors;
mod identity;
mod plan;
mod program;
mod relations;
mod row;
mod scan;
mod transaction;

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use quick_cache::sync::Cache;
use serde_json::{Map, Value as Json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Either, Sqlite, SqliteConnection};
use tokio::time::Instant;

use super::attempt::{Failure, Patience};
use super::connect::invalid;
use super::identity::Newest;
use super::pool::{Identify, Lease, Pool};
use super::rows::{Body, object};
use super::{
    BODY_LIMIT, Changes, ConnectError, Footprint, Origin, OriginError, OriginIdentity,
    OriginOptions, Prepared, ReadStatement, Value, WriteStatement, Written, Xid,
};
use errors::{classify, unreadable};
use plan::Plan;
use transaction::{Doubts, SqliteTransaction};

/// Virtual machine steps between two looks at the clock: some ten microseconds.
const STEPS_BETWEEN_LOOKS: i32 = 1000;

/// How long a statement waits for another process's lock. Less than most deadlines, so that the
/// caller hears the reason.
const BUSY_LIMIT: Duration = Duration::from_secs(1);

/// Statements whose plan is remembered.
const PLANS_LIMIT: usize = 1024;

/// A SQLite file.
pub struct SqliteOrigin {
    reads: Arc<Pool<Sqlite>>,
    /// SQLite has one writer at a time; waiting for it here is fair, and waiting there is not.
    writer: Arc<Pool<Sqlite>>,
    options: SqliteConnectOptions,
    newest: Arc<Newest>,
    doubts: Doubts,
    plans: Cache<String, Arc<Plan>>,
    deadline: Duration,
}

impl SqliteOrigin {
    /// An origin that opens its file when it is used. The file must exist, unless the URL says
    /// `?mode=rwc`.
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
            reads: Pool::new(read_only, options.max_loads, &newest),
            // Readers and the writer don't wait for each other in this mode, which stays with the file.
            writer: Pool::new(connect.clone().journal_mode(SqliteJournalMode::Wal), 1, &newest),
            options: connect,
            newest,
            doubts: Doubts::default(),
            plans: Cache::new(PLANS_LIMIT),
            deadline: options.deadline,
        })
    }

    async fn read(
        &self,
        connection: &mut SqliteConnection,
        read: &ReadStatement,
        values: &[Value],
        patience: Patience,
    ) -> Result<Option<Bytes>, Failure> {
        let _alarm = Alarm::set(connection, patience).await?;
        let plan = self.plan(connection, &read.sql, patience).await?;
        plan.check_read()?;
        let arguments = bind::arguments(values)?;
        let query = sqlx::query_with(AssertSqlSafe(read.sql.as_str()), arguments);
        let mut rows = query.fetch(connection);
        let (mut body, mut text) = (Body::new(read.rows), Vec::new());
        while !body.is_complete() {
            let row = rows.try_next().await.map_err(|e| classify(&e, patience.deadline()))?;
            let Some(row) = row else { break };
            write_row(&row, &plan, &mut text)?;
            body.push(&text).map_err(Failure::usable)?;
        }
        Ok(body.finish())
    }

    async fn write(
        &self,
        connection: &mut SqliteConnection,
        write: &WriteStatement,
        values: &[Value],
        patience: Patience,
    ) -> Result<(u64, Vec<Map<String, Json>>), Failure> {
        let deadline = patience.deadline();
        let _alarm = Alarm::set(connection, patience).await?;
        let plan = self.plan(connection, &write.sql, patience).await?;
        plan.check_write()?;
        let arguments = bind::arguments(values)?;
        command(connection, "BEGIN IMMEDIATE", patience).await?;
        let query = sqlx::query_with(AssertSqlSafe(write.sql.as_str()), arguments);
        #[expect(deprecated, reason = "the only call that yields both rows and the count")]
        let mut events = query.fetch_many(connection);
        let (mut returned, mut changed, mut size) = (Vec::new(), 0, 0);
        let mut text = Vec::new();
        while let Some(event) = events.try_next().await.map_err(|e| classify(&e, deadline))? {
            match event {
                Either::Left(done) => changed = done.rows_affected(),
                Either::Right(row) => {
                    write_row(&row, &plan, &mut text)?;
                    size += text.len();
                    if size > BODY_LIMIT {
                        return Err(Failure::dirty(OriginError::TooLarge));
                    }
                    let row = std::str::from_utf8(&text).map_err(|e| unreadable(&e))?;
                    returned.push(object(row).map_err(|e| unreadable(&e))?);
                }
            }
        }
        let rows = if plan.is_returning() { returned.len() as u64 } else { changed };
        Ok((rows, returned))
    }

    /// What is known of a statement, found out once.
    async fn plan(
        &self,
        connection: &mut SqliteConnection,
        sql: &str,
        patience: Patience,
    ) -> Result<Arc<Plan>, Failure> {
        if let Some(plan) = self.plans.get(sql) {
            return Ok(plan);
        }
        let plan = Arc::new(Plan::find(connection, sql, patience.deadline()).await?);
        self.plans.insert(sql.to_owned(), Arc::clone(&plan));
        Ok(plan)
    }

    async fn examine(
        &self,
        pool: &Arc<Pool<Sqlite>>,
        sql: &str,
        declared: usize,
        check: fn(&Plan) -> Result<(), Failure>,
    ) -> Result<Prepared, OriginError> {
        let patience = Patience::new(self.deadline);
        let mut lease = pool.lease(patience.left()).await?;
        let work = async {
            let _alarm = Alarm::set(lease.connection(), patience).await?;
            let plan = Plan::find(lease.connection(), sql, patience.deadline()).await?;
            check(&plan)?;
            Ok(plan.compare(declared))
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
        deadline: Duration,
    ) -> Result<Option<Bytes>, OriginError> {
        let patience = Patience::new(deadline);
        let mut lease = self.reads.lease(patience.left()).await?;
        let work = self.read(lease.connection(), read, values, patience);
        match patience.guard(work).await {
            Ok(body) => {
                lease.give_back();
                Ok(body)
            }
            Err(failure) => {
                failure.settle(lease);
                Err(failure.error)
            }
        }
    }

    /// No different from a read of the configuration: the file is open for reading alone, and what
    /// begins with SELECT, WITH or VALUES has no way to change its connection.
    async fn query(
        &self,
        read: &ReadStatement,
        values: &[Value],
        deadline: Duration,
    ) -> Result<Option<Bytes>, OriginError> {
        self.load(read, values, deadline).await
    }

    async fn execute(
        &self,
        write: &WriteStatement,
        values: &[Value],
        deadline: Duration,
    ) -> Result<Written, OriginError> {
        let patience = Patience::new(deadline);
        let mut lease = self.writer.lease(patience.left()).await?;
        let work = self.write(lease.connection(), write, values, patience);
        match patience.guard(work).await {
            Ok((rows, returned)) => {
                let (reads, doubts) = (Arc::clone(&self.reads), self.doubts.clone());
                let transaction = Box::new(SqliteTransaction { lease, deadline, reads, doubts });
                Ok(Written { rows, returned, xid: None, transaction })
            }
            Err(failure) => {
                if failure.is_usable() {
                    // If that fails too, closing the connection rolls back.
                    let _ = end(lease, "ROLLBACK", patience).await;
                }
                Err(failure.error)
            }
        }
    }

    async fn prepare_read(&self, read: &ReadStatement) -> Result<Prepared, OriginError> {
        self.examine(&self.reads, &read.sql, read.params.len(), Plan::check_read).await
    }

    async fn prepare_write(&self, write: &WriteStatement) -> Result<Prepared, OriginError> {
        self.examine(&self.writer, &write.sql, write.params.len(), Plan::check_write).await
    }

    async fn reads_from(&self, read: &ReadStatement) -> Result<Footprint, OriginError> {
        self.footprint(read).await
    }

    async fn changes(&self, write: &WriteStatement) -> Result<Changes, OriginError> {
        self.consequences(write).await
    }

    async fn ping(&self) -> Result<(), OriginError> {
        let patience = Patience::new(self.deadline);
        let mut lease = self.reads.lease(patience.left()).await?;
        let work = async {
            let _alarm = Alarm::set(lease.connection(), patience).await?;
            // Opening a file reads nothing of it; this does.
            command(lease.connection(), "SELECT 1 FROM sqlite_schema LIMIT 1", patience).await
        };
        patience.guard(work).await.map_err(|failure| failure.error)?;
        lease.give_back();
        Ok(())
    }

    /// Opens the file again: what a commit in doubt has left is decided by then.
    async fn has_ended(&self, _xid: Xid) -> Result<bool, OriginError> {
        if self.doubts.are_open() {
            return Ok(false);
        }
        self.reads.forget_idle();
        self.ping().await?;
        Ok(true)
    }

    async fn identity(&self) -> Result<OriginIdentity, OriginError> {
        Sqlite::place(&self.options).ok_or_else(|| {
            let file = self.options.get_filename().display();
            OriginError::Unavailable(format!("there is no file {file}"))
        })
    }

    fn last_identity(&self) -> Option<OriginIdentity> {
        self.newest.get()
    }

    fn kind(&self) -> &'static str {
        "sqlite"
    }
}

/// Ends the transaction and gives the connection back. If that fails, the transaction may still be
/// open, and closing the connection ends it.
async fn end(
    mut lease: Lease<Sqlite>,
    sql: &'static str,
    patience: Patience,
) -> Result<(), OriginError> {
    let work = async {
        let _alarm = Alarm::set(lease.connection(), patience).await?;
        command(lease.connection(), sql, patience).await
    };
    patience.guard(work).await.map_err(|failure| failure.error)?;
    lease.give_back();
    Ok(())
}

/// Ends the connection's statement when its time is over or when nobody waits for it any more,
/// which is when this is dropped. It stays in force until the next one is set, so every use of a
/// connection sets one.
struct Alarm {
    _waiting: Arc<()>,
}

impl Alarm {
    async fn set(connection: &mut SqliteConnection, patience: Patience) -> Result<Self, Failure> {
        let waiting = Arc::new(());
        let (watched, end): (Weak<()>, _) =
            (Arc::downgrade(&waiting), Instant::now() + patience.left());
        let mut handle =
            connection.lock_handle().await.map_err(|e| classify(&e, patience.deadline()))?;
        handle.set_progress_handler(STEPS_BETWEEN_LOOKS, move || {
            watched.strong_count() > 0 && Instant::now() < end
        });
        Ok(Self { _waiting: waiting })
    }
}

async fn command(
    connection: &mut SqliteConnection,
    sql: &'static str,
    patience: Patience,
) -> Result<(), Failure> {
    let done = sqlx::raw_sql(sql).execute(connection).await;
    done.map(|_| ()).map_err(|e| classify(&e, patience.deadline()))
}

/// Replaces `text` with the row as a JSON object.
fn write_row(row: &SqliteRow, plan: &Plan, text: &mut Vec<u8>) -> Result<(), Failure> {
    text.clear();
    row::write(row, plan, text).map_err(|error| unreadable(error.as_ref()))
}
