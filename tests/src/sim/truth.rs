//! The simulated origin's rows: items, each of a team. Every commit gives what it changes a higher
//! version, so that a version says how old an answer is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// How many items and teams there are: few, so that operations concern the same rows.
pub(crate) const ITEMS: u8 = 3;
pub(crate) const TEAMS: u8 = 2;

/// What a write does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// An item's row is written; it is there afterwards.
    Put(u8),
    /// The same, and the cache is filled with it.
    Through(u8),
    /// An item goes to a team.
    Move(u8, u8),
    /// An item is deleted.
    Delete(u8),
    /// A team's row is written; values with its tag are untrue from then on.
    Rename(u8),
    /// An item's row is written behind the cache's back; then everything is flushed.
    Behind(u8),
}

/// What a read asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Subject {
    /// An item with its team: the team's tag is known only from the row.
    Item(u8),
    /// A team: its tag is known from the request.
    Team(u8),
    /// The items of a team. Its version grows when one comes, goes or changes.
    Roster(u8),
}

/// The content of a body.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Body {
    pub(crate) version: u64,
    pub(crate) team: u8,
    pub(crate) team_version: u64,
    /// The origin's clock at the read.
    pub(crate) at_ms: u64,
}

#[derive(Debug, Clone, Copy)]
struct Item {
    version: u64,
    team: u8,
    there: bool,
}

/// The origin's rows.
#[derive(Debug)]
pub(crate) struct Truth {
    items: BTreeMap<u8, Item>,
    teams: BTreeMap<u8, u64>,
    rosters: BTreeMap<u8, u64>,
    transactions: Transactions,
}

/// A row that a commit gave a new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) subject: Subject,
    pub(crate) version: u64,
    pub(crate) there: bool,
}

/// A body with its subject, as the simulated origin writes it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Labelled {
    of: Subject,
    body: Body,
}

impl Truth {
    pub(crate) fn new() -> Self {
        let item = |id| (id, Item { version: 1, team: id % TEAMS, there: true });
        Self {
            items: (0..ITEMS).map(item).collect(),
            teams: (0..TEAMS).map(|id| (id, 1)).collect(),
            rosters: (0..TEAMS).map(|id| (id, 1)).collect(),
            transactions: Transactions::default(),
        }
    }

    /// What a load sees now; `None` if there is no such row.
    pub(crate) fn read(&self, subject: Subject, at_ms: u64) -> Option<Body> {
        match subject {
            Subject::Item(id) => {
                let item = self.items.get(&id).filter(|item| item.there)?;
                let team_version = self.version(Subject::Team(item.team));
                Some(Body { version: item.version, team: item.team, team_version, at_ms })
            }
            Subject::Team(team) => {
                let version = self.version(subject);
                Some(Body { version, team, team_version: version, at_ms })
            }
            Subject::Roster(team) => {
                Some(Body { version: self.version(subject), team, team_version: 0, at_ms })
            }
        }
    }

    /// The newest version of a row, deleted or not.
    pub(crate) fn version(&self, subject: Subject) -> u64 {
        match subject {
            Subject::Item(id) => self.items.get(&id).map_or(0, |item| item.version),
            Subject::Team(id) => self.teams.get(&id).copied().unwrap_or(0),
            Subject::Roster(id) => self.rosters.get(&id).copied().unwrap_or(0),
        }
    }

    /// The team of an item, whether the item exists or not.
    pub(crate) fn team(&self, item: u8) -> u8 {
        self.items.get(&item).map_or(0, |item| item.team)
    }

    pub(super) fn transactions(&mut self) -> &mut Transactions {
        &mut self.transactions
    }

    /// Commits a change; returns the rows that have a new version.
    pub(crate) fn commit(&mut self, change: Change) -> Vec<Changed> {
        if let Change::Rename(team) = change {
            *self.teams.entry(team).or_default() += 1;
            return vec![self.changed(Subject::Team(team))];
        }
        let Some(id) = change.item() else { return Vec::new() };
        let Some(item) = self.items.get_mut(&id) else { return Vec::new() };
        item.version += 1;
        let before = item.team;
        match change {
            Change::Put(_) | Change::Through(_) | Change::Behind(_) => item.there = true,
            Change::Move(_, team) => (item.there, item.team) = (true, team),
            Change::Delete(_) => item.there = false,
            Change::Rename(_) => {}
        }
        let teams: BTreeSet<u8> = [before, item.team].into();
        let mut changed = vec![self.changed(Subject::Item(id))];
        for team in teams {
            *self.rosters.entry(team).or_default() += 1;
            changed.push(self.changed(Subject::Roster(team)));
        }
        changed
    }

    fn changed(&self, subject: Subject) -> Changed {
        let there = self.read(subject, 0).is_some();
        Changed { subject, version: self.version(subject), there }
    }
}

/// Transactions that have not ended.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    last: u64,
    running: BTreeMap<u64, Running>,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    /// The row that the transaction has locked.
    locks: Subject,
    since: Instant,
    /// Whether its commit was sent.
    committing: bool,
}

impl Transactions {
    /// Begins a transaction that writes a row, and returns its id; `None` if another transaction
    /// has the row locked.
    pub(super) fn begin(&mut self, row: Subject, idle: Duration) -> Option<u64> {
        let others: Vec<u64> = self
            .running
            .iter()
            .filter(|(_, other)| other.locks == row)
            .map(|(id, _)| *id)
            .collect();
        if others.into_iter().any(|other| self.is_running(other, idle, None)) {
            return None;
        }
        self.last += 1;
        let running = Running { locks: row, since: Instant::now(), committing: false };
        self.running.insert(self.last, running);
        Some(self.last)
    }

    /// Notes that a transaction's commit was sent, after which it is not idle any more.
    pub(super) fn send(&mut self, xid: u64) {
        if let Some(running) = self.running.get_mut(&xid) {
            (running.since, running.committing) = (Instant::now(), true);
        }
    }

    pub(super) fn end(&mut self, xid: u64) {
        self.running.remove(&xid);
    }

    /// Whether a transaction has run for less than `idle`, or its commit was sent at most `guess`
    /// ago; without a guess, at any time.
    pub(super) fn is_running(&self, xid: u64, idle: Duration, guess: Option<Duration>) -> bool {
        self.running.get(&xid).is_some_and(|running| {
            let lasts = running.since.elapsed();
            if running.committing { guess.is_none_or(|guess| lasts < guess) } else { lasts <= idle }
        })
    }

    /// Whether a commit is under way.
    pub(super) fn any_committing(&self) -> bool {
        self.running.values().any(|running| running.committing)
    }
}

impl Change {
    fn item(self) -> Option<u8> {
        match self {
            Self::Put(id)
            | Self::Through(id)
            | Self::Move(id, _)
            | Self::Delete(id)
            | Self::Behind(id) => Some(id),
            Self::Rename(_) => None,
        }
    }

    /// The number of the change's row.
    pub(super) fn number(self) -> u8 {
        match self.subject() {
            Subject::Item(id) | Subject::Team(id) | Subject::Roster(id) => id,
        }
    }

    /// The row that the change gives a new version.
    pub(crate) fn subject(self) -> Subject {
        match self {
            Self::Rename(team) => Subject::Team(team),
            Self::Put(id)
            | Self::Through(id)
            | Self::Move(id, _)
            | Self::Delete(id)
            | Self::Behind(id) => Subject::Item(id),
        }
    }

    /// The name of the configuration's write that makes the change.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Put(_) | Self::Move(..) | Self::Delete(_) | Self::Behind(_) => "put",
            Self::Through(_) => "through",
            Self::Rename(_) => "rename",
        }
    }
}

impl Labelled {
    pub(super) fn encode(of: Subject, body: Body) -> Bytes {
        serde_json::to_vec(&Self { of, body }).unwrap_or_default().into()
    }

    /// The body, if it is one of the simulation's and of this subject, as every answer has to be.
    pub(super) fn decode(bytes: &[u8], asked: Subject) -> Option<Body> {
        let Self { of, body } = serde_json::from_slice(bytes).ok()?;
        (of == asked).then_some(body)
    }
}

impl Body {
    /// `None` if the body is not one of the simulation's, which no answer may be.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}
