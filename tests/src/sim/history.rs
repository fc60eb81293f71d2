//! The events of a schedule in order, for the checker and for a reader.

use std::fmt;

use super::truth::{Body, Change, Subject};

/// One request, by number.
pub(crate) type RequestId = usize;

/// One life of a host: from its start to its end.
pub(crate) type Life = usize;

/// Something that the checker has to know.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A client asked a host for something.
    Asked { request: RequestId, host: usize, life: Life, subject: Subject, fresh: bool },
    /// It was answered: with a body, or that there is no such row.
    Answered { request: RequestId, body: Option<Body>, stale_if_error: bool, near: bool },
    /// It was not answered by its deadline, or with an error.
    Unanswered { request: RequestId, why: String, late: bool },
    /// A client wrote.
    Wrote { request: RequestId, life: Life, host: usize, change: Change },
    /// The origin committed it.
    Committed { request: RequestId, subject: Subject, version: u64, there: bool },
    /// The write was acknowledged. If `pending`, its invalidation waits for the store.
    Acknowledged { request: RequestId, pending: bool },
    /// The write failed. If `in_doubt`, it may have been committed.
    Failed { request: RequestId, why: String, in_doubt: bool },
    /// A host has no pending invalidations any more.
    Drained { life: Life },
    /// A host died, and its pending invalidations are lost.
    Crashed { host: usize, life: Life },
    /// The store is replaced: a node restarted from a snapshot, or a promoted replica.
    Replaced,
    /// A node's clock was set.
    Stepped,
    /// The origin is disturbed: hosts can't ask it about a transaction.
    OriginDisturbed,
    /// The disturbance of the origin is over.
    OriginBack,
    /// A read was answered with another row.
    WrongRow { request: RequestId },
    /// A lease ran out although its host held it and could have renewed it.
    LeaseLapsed { host: usize, key: String },
    /// A lease is held although its holder gave it back.
    HeldByNobody { host: usize, key: String },
    /// A claim was granted although a value newer than the one that its reader knew was there.
    ClaimedInVain { host: usize, key: String },
    /// A claim was granted although another holder's lease was in force.
    LeasedTwice { host: usize, key: String },
    /// One host ran two loads of one key at a time.
    LoadedTwiceAtOnce { host: usize, subject: Subject },
    /// All disturbances are over, and there was time for all repairs.
    AtRest,
}

/// An event or a remark, and when it happened.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Milliseconds since the beginning.
    pub at_ms: u64,
    text: Text,
}

#[derive(Debug, Clone)]
enum Text {
    Event(Event),
    Remark(String),
}

/// Everything that happened.
pub(crate) struct History {
    entries: Vec<Entry>,
    detailed: bool,
}

impl History {
    /// A history keeps remarks only if it is `detailed`.
    pub(crate) fn new(detailed: bool) -> Self {
        Self { entries: Vec::new(), detailed }
    }

    pub(crate) fn note(&mut self, at_ms: u64, event: Event) {
        self.entries.push(Entry { at_ms, text: Text::Event(event) });
    }

    pub(crate) fn remark(&mut self, at_ms: u64, remark: impl FnOnce() -> String) {
        if self.detailed {
            self.entries.push(Entry { at_ms, text: Text::Remark(remark()) });
        }
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = (u64, &Event)> {
        self.entries.iter().filter_map(|entry| match &entry.text {
            Text::Event(event) => Some((entry.at_ms, event)),
            Text::Remark(_) => None,
        })
    }

    pub(crate) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7} ms  ", self.at_ms)?;
        match &self.text {
            Text::Event(event) => event.fmt(f),
            Text::Remark(remark) => write!(f, "        {remark}"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { request, host, subject, fresh, .. } => {
                let fresh = if *fresh { ", freshly loaded" } else { "" };
                write!(f, "#{request:<4} asks host {host} for {subject}{fresh}")
            }
            Self::Answered { request, body, stale_if_error, near } => {
                let how = match (stale_if_error, near) {
                    (true, _) => ", stale because a load failed",
                    (false, true) => ", from the near cache",
                    (false, false) => "",
                };
                match body {
                    Some(body) => write!(
                        f,
                        "#{request:<4} is answered: version {}, team {} of version {}{how}",
                        body.version, body.team, body.team_version
                    ),
                    None => write!(f, "#{request:<4} is answered: no such row{how}"),
                }
            }
            Self::Unanswered { request, why, late } => {
                let late = if *late { " (too late)" } else { "" };
                write!(f, "#{request:<4} is not answered{late}: {why}")
            }
            Self::Wrote { request, host, change, .. } => {
                write!(f, "#{request:<4} writes through host {host}: {change:?}")
            }
            Self::Committed { request, subject, version, .. } => {
                write!(f, "#{request:<4} is committed: {subject} has version {version}")
            }
            Self::Acknowledged { request, pending } => {
                let pending = if *pending { ", its invalidation pending" } else { "" };
                write!(f, "#{request:<4} is acknowledged{pending}")
            }
            Self::Failed { request, why, in_doubt } => {
                let doubt = if *in_doubt { " (perhaps committed)" } else { "" };
                write!(f, "#{request:<4} fails{doubt}: {why}")
            }
            Self::Drained { life } => write!(f, "life {life} has nothing pending"),
            Self::Crashed { host, life } => write!(f, "host {host} dies (life {life})"),
            Self::Replaced => write!(f, "the store is another one than before"),
            Self::OriginDisturbed => write!(f, "the origin can't be asked"),
            Self::OriginBack => write!(f, "the origin can be asked"),
            Self::Stepped => write!(f, "a node's clock is set"),
            Self::WrongRow { request } => write!(f, "#{request} is answered with another row"),
            Self::LeaseLapsed { host, key } => {
                write!(
                    f,
                    "host {host} is granted the lease of {key}, which ran out under its holder"
                )
            }
            Self::HeldByNobody { host, key } => {
                write!(f, "host {host} waits for the lease of {key}, which was given back")
            }
            Self::ClaimedInVain { host, key } => {
                write!(f, "host {host} is granted the lease of {key}, whose value is there")
            }
            Self::LeasedTwice { host, key } => {
                write!(f, "host {host} is granted the lease of {key}, which another host holds")
            }
            Self::LoadedTwiceAtOnce { host, subject } => {
                write!(f, "host {host} loads {subject} twice at once")
            }
            Self::AtRest => write!(f, "at rest"),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item(id) => write!(f, "item {id}"),
            Self::Team(id) => write!(f, "team {id}"),
            Self::Roster(id) => write!(f, "the roster of team {id}"),
        }
    }
}
