//! What is known of a commit that was sent.
//!
//! From the moment a commit was sent until the database has said *committed* or *rolled back*, the
//! write is in doubt, however long that lasts: a synchronous standby that hangs, a slow disk, a
//! proxy that died. The transaction's id is then what can be asked for ([`Origin::has_ended`]).
//!
//! [`Origin::has_ended`]: super::Origin::has_ended

use std::fmt;

use super::OriginError;

/// The id of a writing transaction, as `pg_current_xact_id` counts them: without wrap-around. It
/// means nothing on another server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xid(pub u64);

/// Why a commit was not confirmed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The database says that it rolled back, and waits for the next statement: nothing was written.
    #[error(transparent)]
    RolledBack(OriginError),
    /// It is unknown whether the transaction is committed, or still will be.
    #[error("it is unknown whether it was committed: {0}")]
    InDoubt(OriginError),
}

impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl CommitError {
    /// What the database, or the connection to it, said.
    #[must_use]
    pub fn cause(&self) -> &OriginError {
        match self {
            Self::RolledBack(cause) | Self::InDoubt(cause) => cause,
        }
    }
}
