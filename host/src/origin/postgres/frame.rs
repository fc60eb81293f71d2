//! What a read runs in, so that it ends in time and leaves nothing behind.

use std::time::Duration;

use super::millis;

/// A rollback takes back every setting that was made in the transaction, also those made for the
/// session. Advisory locks of the session are the one thing that a SELECT can take and a rollback
/// leaves.
const UNDO: &str = "ROLLBACK; SELECT pg_advisory_unlock_all()";

/// What a read runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// The session as it is, with its statement timeout.
    Session,
    /// A transaction with a statement timeout of its own.
    Transaction(Duration),
    /// The same, and everything that the statement did is undone.
    Undone(Duration),
}

impl Frame {
    /// What precedes the statement.
    pub(super) fn begin(self) -> Option<String> {
        match self {
            Self::Session => None,
            Self::Transaction(limit) | Self::Undone(limit) => {
                let limit = millis(limit);
                Some(format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {limit}"))
            }
        }
    }

    /// What follows it, also when it failed: COMMIT makes a rollback of a failed transaction.
    pub(super) fn end(self) -> Option<&'static str> {
        match self {
            Self::Session => None,
            Self::Transaction(_) => Some("COMMIT"),
            Self::Undone(_) => Some(UNDO),
        }
    }

    /// Whether the session keeps the statement prepared: it has room for some hundred, and what a
    /// client wrote may never come again.
    pub(super) fn is_remembered(self) -> bool {
        match self {
            Self::Session | Self::Transaction(_) => true,
            Self::Undone(_) => false,
        }
    }
}
