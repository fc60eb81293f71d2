//! The range of a simulated node: floors, namings in use, watched epochs, and the hosts that are alive.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use corral_host::store::{Epoch, HostCard, Naming, Range, Scope};

/// A host is listed for so long after it was heard of.
const LISTED: Duration = Duration::from_secs(30);

/// Draws a number for a floor or a version, never 0.
pub(super) type Draw<'a> = &'a dyn Fn() -> u64;

/// What stands in a range. A clone of it is part of a replica.
#[derive(Debug, Clone, Default)]
pub(super) struct Register {
    version: u64,
    floors: BTreeMap<Scope, u64>,
    /// With the time of their last use.
    namings: BTreeMap<Scope, (Naming, u64)>,
    watched: Vec<Epoch>,
    /// With the time until which they are listed.
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
            known: Default::default(),
            version: self.version,
            now_ms,
            floors: self.floors.clone(),
            namings: in_use.map(|(naming, _)| naming.clone()).collect(),
            watched: self.watched.clone(),
            new: Vec::new(),
        }
    }

    pub(super) fn publish(&mut self, namings: &[Naming], now_ms: u64, draw: Draw<'_>) -> Range {
        let over = |(_, (naming, used_ms)): &(&Scope, &(Naming, u64))| {
            now_ms > *used_ms + naming.in_use_ms()
        };
        let over: Vec<Scope> = self.namings.iter().filter(over).map(|(s, _)| s.clone()).collect();
        let mut changed = self.version == 0 || !over.is_empty();
        for scope in over {
            self.namings.remove(&scope);
            self.floors.remove(&scope);
        }
        let mut floor = |scope: Scope| {
            let known = self.floors.contains_key(&scope);
            self.floors.entry(scope).or_insert_with(draw);
            !known
        };
        changed |= floor(Scope::Everything);
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
        Range { new, ..self.read(now_ms) }
    }

    pub(super) fn raise(&mut self, scopes: &[Scope], draw: Draw<'_>) {
        self.floors.extend(scopes.iter().map(|scope| (scope.clone(), draw())));
        self.version = draw();
    }

    pub(super) fn note_watched(&mut self, epoch: Epoch, draw: Draw<'_>) {
        if !self.watched.contains(&epoch) {
            self.watched.push(epoch);
        }
        self.version = draw();
    }

    pub(super) fn enlist(&mut self, card: &HostCard, now_ms: u64) -> Vec<HostCard> {
        let until_ms = now_ms + LISTED.as_millis() as u64;
        self.hosts.insert(card.id.clone(), (card.clone(), until_ms));
        self.hosts.retain(|_, (_, until_ms)| now_ms < *until_ms);
        self.hosts.values().map(|(card, _)| card.clone()).collect()
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
