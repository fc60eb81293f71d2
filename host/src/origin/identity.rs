//! Which database an origin leads to.
//!
//! A name can be moved to another server, a server can be restored to an earlier moment, a file can
//! be replaced. What was loaded before is then no answer of the database that is there now. So every
//! connection says at its beginning which database it has.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// A database in one of its histories.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OriginIdentity {
    /// The first 16 bytes of a SHA-256. Postgres: over the system identifier, the database's number
    /// and its name. SQLite: over the file's canonical path, its device and inode, and, where the
    /// file system keeps it, the time of its creation.
    pub database: [u8; 16],
    /// Postgres: the timeline, which a promotion and a restore to an earlier moment increase. A
    /// server that is a standby says the highest that it knows of. SQLite has none: 0.
    pub timeline: u32,
}

impl OriginIdentity {
    /// Digests what distinguishes a database. Each part goes in with its length before it, so that
    /// no two lists of parts have the same bytes.
    pub(super) fn new(kind: &str, parts: &[&[u8]], timeline: u32) -> Self {
        let mut digest = Sha256::new();
        for part in std::iter::once(&kind.as_bytes()).chain(parts) {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        let mut database = [0; 16];
        database.copy_from_slice(&digest.finalize()[..16]);
        Self { database, timeline }
    }
}

impl fmt::Display for OriginIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.database {
            write!(f, "{byte:02x}")?;
        }
        write!(f, "/{}", self.timeline)
    }
}

impl fmt::Debug for OriginIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OriginIdentity({self})")
    }
}

/// What the newest connection of an origin said; shared by all its pools.
#[derive(Debug, Default)]
pub(super) struct Newest(Mutex<Option<Said>>);

#[derive(Debug)]
struct Said {
    identity: Option<OriginIdentity>,
    /// When it was asked.
    asked: Instant,
}

impl Newest {
    /// `None` if no connection was opened yet, or the database does not say.
    pub(super) fn get(&self) -> Option<OriginIdentity> {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.as_ref().and_then(|said| said.identity)
    }

    /// Notes what a connection says that was asked at `asked`. An answer that was overtaken by that
    /// to a later question is of a server that may be gone.
    pub(super) fn hear(&self, identity: Option<OriginIdentity>, asked: Instant) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.as_ref().is_none_or(|said| said.asked <= asked) {
            *said = Some(Said { identity, asked });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn parts_that_spell_the_same_together_are_different_databases() {
        let identity = |parts: &[&[u8]]| OriginIdentity::new("postgres", parts, 1);
        assert_eq!(identity(&[b"ab", b"c"]), identity(&[b"ab", b"c"]));
        assert_ne!(identity(&[b"ab", b"c"]), identity(&[b"a", b"bc"]));
        assert_ne!(identity(&[b"ab"]), OriginIdentity::new("sqlite", &[b"ab"], 1));
    }

    #[test]
    fn another_timeline_is_another_history_of_the_same_database() {
        let first = OriginIdentity::new("postgres", &[b"7"], 1);
        let second = OriginIdentity::new("postgres", &[b"7"], 2);
        assert_ne!(first, second);
        assert_eq!(first.database, second.database);
        assert!(second.to_string().ends_with("/2"));
    }

    #[test]
    fn an_answer_that_was_overtaken_is_not_the_newest() {
        let identity = |timeline| Some(OriginIdentity::new("postgres", &[], timeline));
        let (newest, asked) = (Newest::default(), Instant::now());
        let later = asked + Duration::from_millis(1);
        assert_eq!(newest.get(), None);
        newest.hear(identity(2), later);
        newest.hear(identity(1), asked);
        assert_eq!(newest.get(), identity(2));
        newest.hear(None, later);
        assert_eq!(newest.get(), None);
    }
}
