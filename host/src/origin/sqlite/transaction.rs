//! The end of a write's transaction.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Sqlite;

use super::errors::{classify, is_refusal};
use super::{Interrupter, end};
use crate::origin::attempt::{CallTime, FailedAttempt};
use crate::origin::pool::{ConnectionPool, PooledConnection};
use crate::origin::{CommitError, Transaction};

/// An open transaction. Dropping it closes the connection, and SQLite rolls back.
pub(super) struct SqliteTransaction {
    pub(super) lease: PooledConnection<Sqlite>,
    pub(super) deadline: Duration,
    pub(super) reads: Arc<ConnectionPool<Sqlite>>,
    pub(super) doubts: DoubtfulConnections,
}

/// Counts the transactions that may still write. Each holds a clone: until its end, and after a
/// commit without a clear end until its connection is closed. What became of such a commit is
/// decided when the file is opened again: if it reached the log it is there, and otherwise it never
/// will be.
#[derive(Debug, Clone, Default)]
pub(super) struct DoubtfulConnections(Arc<()>);

impl DoubtfulConnections {
    /// Whether a transaction may still write.
    pub(super) fn are_open(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

#[async_trait]
impl Transaction for SqliteTransaction {
    async fn commit(self: Box<Self>) -> Result<(), CommitError> {
        let Self { mut lease, deadline, reads, doubts } = *self;
        let patience = CallTime::new(deadline);
        let mut is_rolled_back = false;
        let work = async {
            let _alarm = Interrupter::set(lease.connection(), patience).await?;
            let done = sqlx::raw_sql("COMMIT").execute(lease.connection()).await;
            done.map_err(|error| {
                is_rolled_back = is_refusal(&error);
                classify(&error, deadline)
            })
        };
        let Err(FailedAttempt { error, .. }) = patience.guard(work).await else {
            lease.give_back();
            return Ok(());
        };
        if is_rolled_back {
            // The transaction is open as before. If the rollback fails too, closing the connection
            // ends it.
            let _ = end(lease, "ROLLBACK", patience).await;
            return Err(CommitError::RolledBack(error));
        }
        reads.forget_idle();
        tokio::spawn(async move {
            lease.close().await;
            drop(doubts);
        });
        Err(CommitError::InDoubt(error))
    }
}
