//! The end of a write's transaction.

use async_trait::async_trait;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres, Row};
use std::time::Duration;

use super::errors::{classify, undecodable};
use crate::origin::attempt::{CallTime, Condition, FailedAttempt};
use crate::origin::pool::PooledConnection;
use crate::origin::{CommitError, OriginError, Transaction, Xid};

/// `in_failed_sql_transaction`: a commit of such a transaction is a rollback.
const FAILED: &str = "25P02";

/// An open transaction. Dropping it closes the connection, and Postgres rolls back.
pub(super) struct PostgresTransaction {
    pub(super) lease: PooledConnection<Postgres>,
    pub(super) deadline: Duration,
    /// `None` if the transaction has written nothing.
    pub(super) xid: Option<Xid>,
}

#[async_trait]
impl Transaction for PostgresTransaction {
    /// Waits no longer than the write's deadline. Postgres itself goes on: no statement timeout
    /// ends a commit that waits for its standby, and meanwhile a backend does not notice that its
    /// client is gone.
    async fn commit(self: Box<Self>) -> Result<(), CommitError> {
        let Self { mut lease, deadline, xid } = *self;
        let patience = CallTime::new(deadline);
        match patience.guard(ask(lease.connection(), xid, patience)).await {
            Ok(CertainOutcome::Committed) => {
                lease.give_back();
                Ok(())
            }
            Ok(CertainOutcome::RolledBack(error)) => {
                lease.give_back();
                Err(CommitError::RolledBack(error))
            }
            Err(failure) => {
                // The lease is dropped: the connection closes, in the middle of whatever it does.
                if failure.connection == Condition::Lost {
                    lease.pool().forget_idle();
                }
                Err(CommitError::InDoubt(failure.error))
            }
        }
    }
}

/// What became of a transaction, beyond doubt.
enum CertainOutcome {
    Committed,
    RolledBack(OriginError),
}

/// Commits. An error leaves the outcome open.
///
/// The driver does not show the command's tag, which is `ROLLBACK` where the transaction had
/// failed. So the same message asks what became of the id: a transaction counts as committed only
/// if the server itself says so.
async fn ask(
    connection: &mut PgConnection,
    xid: Option<Xid>,
    patience: CallTime,
) -> Result<CertainOutcome, FailedAttempt> {
    let Some(xid) = xid else {
        return match sqlx::raw_sql("COMMIT").execute(&mut *connection).await {
            Ok(_) => Ok(CertainOutcome::Committed),
            Err(error) => refused(connection, error, patience).await,
        };
    };
    let sql = format!("COMMIT; SELECT pg_xact_status('{xid}')::text");
    let row = match sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(&mut *connection).await {
        Ok(row) => row,
        Err(error) => return refused(connection, error, patience).await,
    };
    let status: Option<String> =
        row.try_get(0).map_err(|e| FailedAttempt::dirty(undecodable(&e)))?;
    match status.as_deref() {
        Some("committed") => Ok(CertainOutcome::Committed),
        Some("aborted") => Ok(CertainOutcome::RolledBack(OriginError::Undone {
            code: FAILED.to_owned(),
            message: "the commit was answered with a rollback".to_owned(),
        })),
        other => {
            let message = format!("after its commit the transaction is {other:?}");
            Err(FailedAttempt::dirty(OriginError::Unavailable(message)))
        }
    }
}

/// What an error says of the commit. It may come from a pooler in between, and a server that is
/// going down may still have committed. So few errors mean that nothing was written, and those only
/// if the session goes on.
async fn refused(
    connection: &mut PgConnection,
    error: sqlx::Error,
    patience: CallTime,
) -> Result<CertainOutcome, FailedAttempt> {
    let is_refusal = error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
        .is_some_and(is_refusal);
    let failure = classify(error, patience.deadline());
    if !is_refusal {
        return Err(failure);
    }
    // The driver reports an error before the server is ready for the next statement.
    match connection.ping().await {
        Ok(()) => Ok(CertainOutcome::RolledBack(failure.error)),
        Err(error) => Err(classify(error, patience.deadline())),
    }
}

/// Whether the error is one by which Postgres refuses to commit a transaction: a violated
/// constraint, what a procedure raised, a serialisation failure, a deadlock.
fn is_refusal(error: &PgDatabaseError) -> bool {
    let code = error.code();
    let is_of_the_transaction =
        code.starts_with("23") || code.starts_with("P0") || ["40001", "40P01"].contains(&code);
    error.severity() == PgSeverity::Error && is_of_the_transaction
}
