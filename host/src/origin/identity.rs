//! Which database an origin leads to.
//!
//! A name can be moved to another server, a server can be restored to an earlier moment, a file can
//! be replaced. A value that was loaded before is then no answer of the database that is there now.
//! So every connection is asked at its beginning which database it leads to.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

/// A database in one of its histories.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OriginIdentity {
    /// The first 16 bytes of a SHA-256. Postgres: over the system identifier, the database's number
    /// and its name. SQLite: over the file's canonical path, its device and inode, and, where the
    /// file system keeps it, the time of its creation.
    pub database: [u8; 16],
    /// Postgres: the timeline, which a promotion and a restore to an earlier moment increase; a
    /// standby says the highest timeline that it knows of. SQLite: 0, as it has no timelines.
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

/// What a connection leads to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ServerIdentity {
    /// `None` if the database does not say.
    pub(super) identity: Option<OriginIdentity>,
    /// Whether the server follows another one, and so has seen no more of their history than that
    /// one.
    pub(super) is_standby: bool,
}

impl ServerIdentity {
    /// Whether connections to this server may be used while the newest connection leads to
    /// `newest`. Those to a standby may not, once the address leads to a primary.
    pub(super) fn is_wanted_beside(&self, newest: &Self) -> bool {
        self.identity == newest.identity && (!self.is_standby || newest.is_standby)
    }
}

/// What the newest connection of an origin said of its server; shared by all pools of the origin.
#[derive(Debug, Default)]
pub(super) struct Newest(Mutex<Heard>);

#[derive(Debug, Default)]
struct Heard {
    said: Option<KnownIdentity>,
    /// When a connection was last begun only to see where the address leads.
    looked: Option<Instant>,
}

/// What a connection said of its server, and when it was asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownIdentity {
    pub(super) server: ServerIdentity,
    pub(super) asked: Instant,
}

impl Newest {
    /// `None` if no connection was opened yet, or the database does not say.
    pub(super) fn get(&self) -> Option<OriginIdentity> {
        self.server().identity
    }

    /// What the newest connection leads to.
    pub(super) fn server(&self) -> ServerIdentity {
        self.heard().said.as_ref().map(|said| said.server).unwrap_or_default()
    }

    /// Whether a look at where the address leads is due: no connection was opened, and no look
    /// begun, for at least `every`. If true, the caller looks, and the look counts as begun.
    pub(super) fn begins_look(&self, every: Duration) -> bool {
        let mut heard = self.heard();
        let Some(said) = &heard.said else { return false };
        let is_due = said.asked.max(heard.looked.unwrap_or(said.asked)).elapsed() >= every;
        if is_due {
            heard.looked = Some(Instant::now());
        }
        is_due
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the answer of a connection that was asked at `asked`. The answer is dropped if the
    /// answer to a later question was noted before it: it may be of a server that is gone.
    pub(super) fn hear(&self, server: ServerIdentity, asked: Instant) {
        let mut heard = self.heard();
        if heard.said.as_ref().is_none_or(|said| said.asked <= asked) {
            heard.said = Some(KnownIdentity { server, asked });
        }
    }
}

#[cfg(test)]
mod tests {
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
        let server = |timeline| ServerIdentity { identity: identity(timeline), is_standby: false };
        let (newest, asked) = (Newest::default(), Instant::now());
        let later = asked + Duration::from_millis(1);
        assert_eq!(newest.get(), None);
        newest.hear(server(2), later);
        newest.hear(server(1), asked);
        assert_eq!(newest.get(), identity(2));
        newest.hear(ServerIdentity::default(), later);
        assert_eq!(newest.get(), None);
    }

    #[test]
    fn a_standby_is_left_for_a_primary_of_its_history_and_a_primary_for_no_standby() {
        let identity = Some(OriginIdentity::new("postgres", &[], 1));
        let [primary, standby] =
            [false, true].map(|is_standby| ServerIdentity { identity, is_standby });
        assert!(!standby.is_wanted_beside(&primary));
        assert!(primary.is_wanted_beside(&standby));
        assert!(standby.is_wanted_beside(&standby) && primary.is_wanted_beside(&primary));
        assert!(!primary.is_wanted_beside(&ServerIdentity::default()));
    }
}
