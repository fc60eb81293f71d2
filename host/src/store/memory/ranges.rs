//! The range of a memory store, which behaves like the one in Redis.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::expiring::Expiring;
use crate::store::{Epoch, FloorScope, Naming, Range};

/// Floors, and namings with the time of their last use in ms since the Unix epoch.
#[derive(Default)]
pub(super) struct Ranges {
    version: u64,
    floors: BTreeMap<FloorScope, u64>,
    namings: BTreeMap<FloorScope, (Naming, u64)>,
    watched: Vec<Epoch>,
    notes: Expiring<String, Bytes>,
}

impl Ranges {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn read(&self, now_ms: u64) -> Range {
        let in_use = self.namings.values().filter(|(n, used)| now_ms <= used + n.in_use_ms());
        Range {
            version: self.version,
            now_ms,
            floors: self.floors.clone(),
            namings: in_use.map(|(naming, _)| naming.clone()).collect(),
            // Every naming is known: no other host uses this store.
            known: self.namings.keys().cloned().collect(),
            watched: self.watched.clone(),
            new: Vec::new(),
            was_empty: false,
        }
    }

    pub(super) fn publish(&mut self, namings: &[Naming], now_ms: u64) -> Range {
        let floors = &mut self.floors;
        let before = self.namings.len();
        self.namings.retain(|scope, (naming, used_ms)| {
            let in_use = now_ms <= *used_ms + naming.in_use_ms();
            if !in_use {
                floors.remove(scope);
            }
            in_use
        });
        floors.entry(FloorScope::Everything).or_insert_with(rand::random);
        let mut new = Vec::new();
        for naming in namings {
            let scope = naming.scope();
            if !self.namings.contains_key(&scope) {
                new.push(scope.clone());
            }
            floors.entry(scope.clone()).or_insert_with(rand::random);
            self.namings.insert(scope, (naming.clone(), now_ms));
        }
        if self.version == 0 || !new.is_empty() || self.namings.len() != before {
            self.renew_version();
        }
        Range { new, ..self.read(now_ms) }
    }

    pub(super) fn raise(&mut self, scopes: &[FloorScope]) {
        for scope in scopes {
            self.floors.insert(scope.clone(), rand::random());
        }
        self.renew_version();
    }

    pub(super) fn note_watched(&mut self, epoch: Epoch) {
        self.watched = vec![epoch];
    }

    pub(super) fn note(&self, of: &str, now_ms: u64) -> Option<Bytes> {
        self.notes.get(&of.to_owned(), now_ms).map(|(note, _until_ms)| note.clone())
    }

    pub(super) fn write_note(&mut self, of: &str, note: &[u8], until_ms: u64, now_ms: u64) {
        self.notes.trim(now_ms);
        self.notes.insert(of.to_owned(), Bytes::copy_from_slice(note), until_ms);
    }

    fn renew_version(&mut self) {
        self.version = rand::random::<u64>().max(1);
    }
}
