//! A commit with an unknown outcome (race P).
//!
//! The commit was sent, and the database has said neither *committed* nor *rolled back*. No constant stands
//! for a guess of how long a commit may take: the database is asked about the transaction's id until no
//! snapshot counts it as running. Then what the transaction touches is invalidated, whichever way it ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use crate::origin::{Origin, OriginError, Xid};

use super::super::Cache;
use super::phases::Committed;
use super::{Refill, WriteCall, WriteError};

/// How often the database is asked in the first [`OFTEN`], and later.
const ASK: Duration = Duration::from_millis(100);
const ASK_LATER: Duration = Duration::from_secs(1);

/// How long the database is asked every [`ASK`].
const OFTEN: Duration = Duration::from_secs(5);

/// A write in doubt: its commit was sent.
pub(super) struct InDoubt {
    committing: Committed,
    xid: Option<Xid>,
    error: OriginError,
}

impl InDoubt {
    pub(super) fn new(committing: Committed, xid: Option<Xid>, error: OriginError) -> Self {
        Self { committing, xid, error }
    }

    /// Waits until the transaction has ended, by the deadline, and answers like [`Committed::invalidate`] if
    /// it committed. What it touches is invalidated once it has ended, even if the writer no longer waits.
    pub(super) async fn settle(
        self,
        cache: &Arc<Cache>,
        call: &WriteCall,
        deadline: Instant,
    ) -> Result<Option<Vec<Refill>>, WriteError> {
        let Self { committing, xid, error } = self;
        let (tell, ended) = oneshot::channel();
        let (cache, unfinished) = (Arc::clone(cache), cache.begin());
        let origin = Arc::clone(&call.origin);
        cache.doubts.add();
        tokio::spawn(async move {
            let mut committing = committing;
            let asking = until_ended(&*origin, xid);
            let committed = committing.announcement.during(asking).await;
            // Also if it was rolled back: that costs no more than a miss.
            let refills = committing.invalidate(&cache).await;
            cache.doubts.remove();
            // The write that waited may have passed its deadline.
            let _gone = tell.send((committed, refills));
            drop(unfinished);
        });
        match timeout_at(deadline, ended).await {
            Ok(Ok((Some(true), refills))) => Ok(refills),
            Ok(Ok((Some(false), _))) => Err(WriteError::Origin(error)),
            Ok(Ok((None, _)) | Err(_)) | Err(_) => Err(WriteError::Unknown(error)),
        }
    }
}

/// Asks until the transaction has ended, however long that lasts. Says whether it committed; `None` if the
/// database does not say so, or if there is no id to ask for.
async fn until_ended(origin: &dyn Origin, xid: Option<Xid>) -> Option<bool> {
    let xid = xid?;
    let began = Instant::now();
    loop {
        match origin.has_ended(xid).await {
            Ok(true) => return origin.has_committed(xid).await.ok().flatten(),
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "the state of a transaction in doubt is unknown"),
        }
        sleep(if began.elapsed() < OFTEN { ASK } else { ASK_LATER }).await;
    }
}
