//! The end of a write's transaction.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Sqlite;

use super::errors::{classify, is_refusal};
use super::{Alarm, end};
use crate::origin::attempt::{Failure, Patience};
use crate::origin::pool::{Lease, Pool};
use crate::origin::{CommitError, Transaction};

/// An open transaction. Dropping it closes the connection, and SQLite rolls back.
pub(super) struct SqliteTransaction {
    pub(super) lease: Lease<Sqlite>,
    pub(super) deadline: Duration,
    pub(super) reads: Arc<Pool<Sqlite>>,
    pub(super) doubts: Doubts,
}

/// The connections whose commit had no clear end, until they are closed. The file decides when it
/// is opened again: what reached the log is there, and what did not never will be.
#[derive(Debug, Clone, Default)]
pub(super) struct Doubts(Arc<()>);

impl Doubts {
    /// Whether one of them is still open, and so may still write.
    pub(super) fn are_open(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

#[async_trait]
impl Transaction for SqliteTransaction {
    async fn commit(self: Box<Self>) -> Result<(), CommitError> {
        let Self { mut lease, deadline, reads, doubts } = *self;
        let patience = Patience::new(deadline);
        let mut is_rolled_back = false;
        let work = async {
            let _alarm = Alarm::set(lease.connection(), patience).await?;
            let done = sqlx::raw_sql("COMMIT").execute(lease.connection()).await;
            done.map_err(|error| {
                is_rolled_back = is_refusal(&error);
                classify(&error, deadline)
            })
        };
        let Err(Failure { error, .. }) = patience.guard(work).await else {
            lease.give_back();
            return Ok(());
        };
        if is_rolled_back {
            // It is open as before. If this fails too, closing the connection rolls back.
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
