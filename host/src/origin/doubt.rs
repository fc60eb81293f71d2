//! What is known of a commit that was sent.
//!
//! From the moment a commit is sent until the database has said *committed* or *rolled back*, the
//! write is in doubt, however long that lasts: a synchronous standby may hang, a disk may be slow,
//! a proxy may have died. Meanwhile the database can be asked by the transaction's id whether the
//! transaction has ended ([`Origin::has_ended`]).
//!
//! [`Origin::has_ended`]: super::Origin::has_ended

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::OriginError;

/// The id of a writing transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Xid {
    /// As `pg_current_xact_id` counts them: without wrap-around. It means nothing on another server.
    pub number: u64,
    /// The life of the server that gave the id out; `None` if that is not known.
    pub life: Option<ServerLife>,
}

/// A server between two starts or crashes. A server that crashes forgets the ids that its log did not
/// hold yet and gives them out again, so whether an id *committed* can be asked within one life only.
/// Whether it has *ended* can be asked of every life: what a crash forgot has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLife([u8; 16]);

impl ServerLife {
    /// Digests what a server says of its life.
    pub(super) fn of(said: &str) -> Self {
        let mut life = [0; 16];
        life.copy_from_slice(&Sha256::digest(said)[..16]);
        Self(life)
    }
}

impl From<u64> for Xid {
    /// An id of which only the number is known: an intent holds no more.
    fn from(number: u64) -> Self {
        Self { number, life: None }
    }
}

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
        self.number.fmt(f)
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
