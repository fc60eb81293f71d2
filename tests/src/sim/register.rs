//! The range of a simulated node: floors, namings in use, watched epochs, and the hosts that are
//! alive.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use corral_host::store::{Epoch, FloorScope, HostCard, Listing, Naming, Range};

/// How long a host is listed as alive after its last report.
const LISTED: Duration = Duration::from_secs(30);

/// How long after that a host is remembered.
const REMEMBERED: Duration = Duration::from_secs(2 * 3600);

/// Draws a number for a floor or a version, never 0.
pub(super) type Draw<'a> = &'a dyn Fn() -> u64;

/// The content of a range. A clone of it is part of a replica.
#[derive(Debug, Clone, Default)]
pub(super) struct Register {
    version: u64,
    floors: BTreeMap<FloorScope, u64>,
    /// Namings, each with the time of its last use.
    namings: BTreeMap<FloorScope, (Naming, u64)>,
    watched: Vec<Epoch>,
    /// Namings noted as known, each with the floor that it had then.
    known: BTreeMap<FloorScope, u64>,
    /// Hosts, each with the time until which it is listed.
    hosts: BTreeMap<String, (HostCard, u64)>,
    notes: BTreeMap<String, Bytes>,
}

impl Register {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn read(&self, now_ms: u64) -> Range {
        let in_use = self.namings.values().filter(|(n, used)| now_ms <= used + n.in_use_ms());
        Range {
            known: self.known(),
            version: self.version,
            now_ms,
            floors: self.floors.clone(),
            namings: in_use.map(|(naming, _)| naming.clone()).collect(),
            watched: self.watched.clone(),
            new: Vec::new(),
            was_empty: false,
        }
    }

    fn known(&self) -> BTreeSet<FloorScope> {
        let is_so = |(scope, floor): &(&FloorScope, &u64)| self.floors.get(scope) == Some(floor);
        self.known.iter().filter(is_so).map(|(scope, _)| scope.clone()).collect()
    }

    pub(super) fn publish(&mut self, namings: &[Naming], now_ms: u64, draw: Draw<'_>) -> Range {
        let over = |(_, (naming, used_ms)): &(&FloorScope, &(Naming, u64))| {
            now_ms > *used_ms + naming.in_use_ms()
        };
        let over: Vec<FloorScope> =
            self.namings.iter().filter(over).map(|(s, _)| s.clone()).collect();
        let was_empty = self.version == 0;
        let mut changed = was_empty || !over.is_empty();
        if !over.is_empty() {
            self.known.clear();
        }
        for scope in over {
            self.namings.remove(&scope);
            self.floors.remove(&scope);
        }
        let mut floor = |scope: FloorScope| {
            let known = self.floors.contains_key(&scope);
            self.floors.entry(scope).or_insert_with(draw);
            !known
        };
        changed |= floor(FloorScope::Everything);
        let mut new = Vec::new();
        for naming in namings {
            let scope = naming.scope();
            changed |= floor(scope.clone());
            if self.namings.insert(scope.clone(), (naming.clone(), now_ms)).is_none() {
                new.push(scope);
                changed = true;
            }
        }
        if changed {
            self.version = draw();
        }
        Range { new, was_empty, ..self.read(now_ms) }
    }

    pub(super) fn raise(&mut self, scopes: &[FloorScope], draw: Draw<'_>) {
        let known = self.known();
        for scope in scopes {
            let floor = draw();
            self.floors.insert(scope.clone(), floor);
            if known.contains(scope) {
                self.known.insert(scope.clone(), floor);
            }
        }
        self.version = draw();
    }

    pub(super) fn note_watched(&mut self, epoch: Epoch, draw: Draw<'_>) {
        if !self.watched.contains(&epoch) {
            self.watched.push(epoch);
        }
        self.version = draw();
    }

    pub(super) fn note_known(&mut self, namings: &[(FloorScope, u64)], draw: Draw<'_>) {
        self.known.extend(namings.iter().cloned());
        self.version = draw();
    }

    pub(super) fn enlist(&mut self, card: &HostCard, now_ms: u64) -> Listing {
        let until_ms = now_ms + LISTED.as_millis() as u64;
        let was_listed = self.hosts.insert(card.id.clone(), (card.clone(), until_ms)).is_some();
        let remembered_ms = REMEMBERED.as_millis() as u64;
        self.hosts.retain(|_, (_, until_ms)| now_ms < *until_ms + remembered_ms);
        let alive = self.hosts.values().filter(|(_, until_ms)| now_ms < *until_ms);
        Listing {
            alive: alive.map(|(card, _)| card.clone()).collect(),
            was_listed,
            is_alone: self.hosts.len() == 1,
        }
    }

    pub(super) fn delist(&mut self, id: &str) {
        self.hosts.remove(id);
    }

    pub(super) fn note(&self, of: &str) -> Option<Bytes> {
        self.notes.get(of).cloned()
    }

    pub(super) fn write_note(&mut self, of: &str, note: &[u8]) {
        self.notes.insert(of.to_owned(), Bytes::copy_from_slice(note));
    }
}
