//! A commit whose outcome is not known (race P).
//!
//! The commit was sent, and the database has said neither *committed* nor *rolled back*. No constant
//! stands for a guess of how long a commit may take: the transaction's id is asked for until a snapshot
//! no longer counts it as running; then what it touches is invalidated, whichever way it ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use crate::origin::{Origin, OriginError, Xid};

use super::super::Cache;
use super::phases::Committed;
use super::{Refill, WriteCall, WriteError};

/// How often the database is asked at first, and later.
const ASK: Duration = Duration::from_millis(100);
const ASK_LATER: Duration = Duration::from_secs(1);

/// How long it is asked often.
const OFTEN: Duration = Duration::from_secs(5);

/// A write whose commit was sent.
pub(super) struct InDoubt {
    committing: Committed,
    xid: Option<Xid>,
    error: OriginError,
}

impl InDoubt {
    pub(super) fn new(committing: Committed, xid: Option<Xid>, error: OriginError) -> Self {
        Self { committing, xid, error }
    }

    /// Waits until the transaction has ended, by the deadline. What it touches is invalidated after that,
    /// also when nobody waits any more. As [`Committed::invalidate`] if it committed.
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
            // Whichever way it ended: that costs no more than a miss.
            let refills = committing.invalidate(&cache).await;
            cache.doubts.remove();
            // The request that waited may have gone.
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

/// Asks until the transaction has ended, however long that lasts; whether it committed, if the database
/// says so. Without an id there is nothing to ask for.
async fn until_ended(origin: &dyn Origin, xid: Option<Xid>) -> Option<bool> {
    let xid = xid?;
    let began = Instant::now();
    loop {
        match origin.has_ended(xid).await {
            Ok(true) => return origin.has_committed(xid).await.ok().flatten(),
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "a transaction in doubt can't be asked for"),
        }
        sleep(if began.elapsed() < OFTEN { ASK } else { ASK_LATER }).await;
    }
}
