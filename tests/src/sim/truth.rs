//! The simulated origin's rows: items, each of a team. Every commit gives what it changes a higher
//! version, so that a version says how old an answer is.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// How many items and teams there are: few, so that operations meet.
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
    /// A team's row is written: what carries its tag is untrue from then on.
    Rename(u8),
}

/// What a read asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// An item with its team: the team's tag is known only from the row.
    Item(u8),
    /// A team: its tag is known from the request.
    Team(u8),
}

/// What a body says.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Body {
    pub(crate) version: u64,
    pub(crate) team: u8,
    pub(crate) team_version: u64,
    /// The origin's clock when it was read.
    pub(crate) at_ms: u64,
}

#[derive(Debug, Clone, Copy)]
struct Item {
    version: u64,
    team: u8,
    there: bool,
}

/// The rows.
#[derive(Debug)]
pub(crate) struct Truth {
    items: BTreeMap<u8, Item>,
    teams: BTreeMap<u8, u64>,
}

impl Truth {
    pub(crate) fn new() -> Self {
        let item = |id| (id, Item { version: 1, team: id % TEAMS, there: true });
        Self {
            items: (0..ITEMS).map(item).collect(),
            teams: (0..TEAMS).map(|id| (id, 1)).collect(),
        }
    }

    /// What a load sees now. None: there is no such row.
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
        }
    }

    /// The newest version of a row, deleted or not.
    pub(crate) fn version(&self, subject: Subject) -> u64 {
        match subject {
            Subject::Item(id) => self.items.get(&id).map_or(0, |item| item.version),
            Subject::Team(id) => self.teams.get(&id).copied().unwrap_or(0),
        }
    }

    /// Commits a change; the version it made.
    pub(crate) fn commit(&mut self, change: Change) -> u64 {
        if let Change::Rename(team) = change {
            let version = self.teams.entry(team).or_default();
            *version += 1;
            return *version;
        }
        let Some(item) = change.item().and_then(|id| self.items.get_mut(&id)) else { return 0 };
        item.version += 1;
        match change {
            Change::Put(_) | Change::Through(_) => item.there = true,
            Change::Move(_, team) => (item.there, item.team) = (true, team),
            Change::Delete(_) => item.there = false,
            Change::Rename(_) => {}
        }
        item.version
    }
}

impl Change {
    fn item(self) -> Option<u8> {
        match self {
            Self::Put(id) | Self::Through(id) | Self::Move(id, _) | Self::Delete(id) => Some(id),
            Self::Rename(_) => None,
        }
    }

    /// The row that it gives a new version.
    pub(crate) fn subject(self) -> Subject {
        match self {
            Self::Rename(team) => Subject::Team(team),
            Self::Put(id) | Self::Through(id) | Self::Move(id, _) | Self::Delete(id) => {
                Subject::Item(id)
            }
        }
    }

    /// The name of the write in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Put(_) | Self::Move(..) | Self::Delete(_) => "put",
            Self::Through(_) => "through",
            Self::Rename(_) => "rename",
        }
    }
}

impl Body {
    pub(crate) fn encode(self) -> Bytes {
        serde_json::to_vec(&self).unwrap_or_default().into()
    }

    /// None: not one of ours, which no answer may be.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}
