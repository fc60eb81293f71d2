//! What happens around a statement: the alarm that ends it, and how transactions begin and end.

use std::sync::{Arc, Weak};

use sqlx::{Row as _, Sqlite, SqliteConnection};
use tokio::time::Instant;

use super::errors::{classify, unreadable};
use crate::origin::OriginError;
use crate::origin::attempt::{CallTime, FailedAttempt};
use crate::origin::pool::PooledConnection;

/// Virtual machine steps between two looks at the clock: some ten microseconds.
const STEPS_BETWEEN_LOOKS: i32 = 1000;

/// Ends the transaction and gives the connection back. If that fails, the transaction may still be
/// open, and closing the connection ends it.
pub(super) async fn end(
    mut lease: PooledConnection<Sqlite>,
    sql: &'static str,
    patience: CallTime,
) -> Result<(), OriginError> {
    let work = async {
        let _alarm = Interrupter::set(lease.connection(), patience).await?;
        command(lease.connection(), sql, patience).await
    };
    patience.guard(work).await.map_err(|failure| failure.error)?;
    lease.give_back();
    Ok(())
}

/// A time limit for a connection's statement, kept by SQLite's progress handler. It ends the
/// statement when the time is over, or when the alarm is dropped because its caller no longer
/// waits. An alarm stays in force until the next one is set, so every use of a connection sets one.
pub(super) struct Interrupter {
    _waiting: Arc<()>,
}

impl Interrupter {
    pub(super) async fn set(
        connection: &mut SqliteConnection,
        patience: CallTime,
    ) -> Result<Self, FailedAttempt> {
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

pub(super) async fn command(
    connection: &mut SqliteConnection,
    sql: &'static str,
    patience: CallTime,
) -> Result<(), FailedAttempt> {
    let done = sqlx::raw_sql(sql).execute(connection).await;
    done.map(|_| ()).map_err(|e| classify(&e, patience.deadline()))
}

/// Begins a transaction and returns the version of the schema in it. Reading the schema makes the
/// connection notice another process's change, and the transaction keeps to what was read.
pub(super) async fn begin(
    connection: &mut SqliteConnection,
    sql: &'static str,
    patience: CallTime,
) -> Result<i64, FailedAttempt> {
    let rows = sqlx::query(sql).fetch_all(connection).await;
    let rows = rows.map_err(|e| classify(&e, patience.deadline()))?;
    let version = rows.last().map(|row| row.try_get(0));
    version.ok_or_else(FailedAttempt::broken)?.map_err(|e| unreadable(&e))
}
