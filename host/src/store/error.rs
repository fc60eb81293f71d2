//! Why a store operation did not happen, or may not have happened.

use std::time::Duration;

/// A store operation that did not happen, or may not have happened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// There is no connection.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// There was no answer within the budget; the operation may have happened.
    #[error("no answer from the store within {0:?}")]
    Timeout(Duration),
    /// The store was not asked, or its answer does not count: the node is not trusted at this moment.
    #[error("the store is not trusted at present")]
    Distrusted,
    /// The server can't be a store as it is set up, and the text says what to change.
    #[error("{0}")]
    Unusable(String),
    /// The server answered with an error (`OOM`, `READONLY`, `WRONGTYPE`, …).
    #[error("the store refused: {0}")]
    Refused(String),
    /// Another node has the slot, or is about to have it (`MOVED`, `ASK`, `TRYAGAIN`).
    #[error("the slot is on its way to another node")]
    Moved,
}
