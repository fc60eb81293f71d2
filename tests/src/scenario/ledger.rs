//! The history of a real run, written down as it happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::sim::Violation;
use crate::sim::checker::{self, Promises};
use crate::sim::history::{Event, History, Life, RequestId};
use crate::sim::truth::Subject;

/// Events in the order in which clients saw them.
pub(super) struct Ledger {
    began: Instant,
    pages: Mutex<Pages>,
}

struct Pages {
    history: History,
    requests: RequestId,
    /// By request: what it writes, as which version, through which life.
    writing: BTreeMap<RequestId, (Subject, u64, Life)>,
    /// Rows whose newest write may be owed to a store by a life, by that life.
    owing: BTreeMap<Subject, BTreeSet<Life>>,
    /// Rows whose newest write a dead host owed to the store: their lifetime bounds them.
    lost: BTreeSet<Subject>,
    dead: BTreeSet<Life>,
}

impl Ledger {
    pub(super) fn new() -> Self {
        let pages = Pages {
            history: History::new(false),
            requests: 0,
            writing: BTreeMap::new(),
            owing: BTreeMap::new(),
            lost: BTreeSet::new(),
            dead: BTreeSet::new(),
        };
        Self { began: Instant::now(), pages: Mutex::new(pages) }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn note(&self, pages: &mut Pages, event: Event) {
        let at_ms = u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX);
        pages.history.note(at_ms, event);
    }

    pub(super) fn event(&self, event: Event) {
        self.note(&mut self.pages(), event);
    }

    pub(super) fn asked(&self, host: usize, life: Life, subject: Subject) -> RequestId {
        let mut pages = self.pages();
        pages.requests += 1;
        let request = pages.requests;
        self.note(&mut pages, Event::Asked { request, host, life, subject, fresh: false });
        request
    }

    /// A write is sent. Until it is acknowledged, its row is owed an invalidation.
    pub(super) fn wrote(&self, life: Life, subject: Subject, version: u64) -> RequestId {
        let mut pages = self.pages();
        pages.requests += 1;
        let request = pages.requests;
        pages.writing.insert(request, (subject, version, life));
        pages.owing.entry(subject).or_default().insert(life);
        request
    }

    /// It was acknowledged; pending: its invalidation waits for the store.
    pub(super) fn acknowledged(&self, request: RequestId, pending: bool) {
        let mut pages = self.pages();
        let Some((subject, version, life)) = pages.writing.remove(&request) else { return };
        let change = match subject {
            Subject::Item(id) => crate::sim::truth::Change::Put(id),
            Subject::Team(id) => crate::sim::truth::Change::Rename(id),
        };
        self.note(&mut pages, Event::Wrote { request, life, host: 0, change });
        self.note(&mut pages, Event::Committed { request, subject, version, there: true });
        self.note(&mut pages, Event::Acknowledged { request, pending });
        if !pending {
            // Whatever was owed for the row is paid by this one.
            pages.owing.remove(&subject);
            pages.lost.remove(&subject);
        } else if pages.dead.contains(&life) {
            pages.lost.insert(subject);
        }
    }

    /// A host was killed: what it owed is lost.
    pub(super) fn crashed(&self, host: usize, life: Life) {
        let mut pages = self.pages();
        let owed = |(subject, lives): (&Subject, &BTreeSet<Life>)| {
            lives.contains(&life).then_some(*subject)
        };
        let lost: Vec<_> = pages.owing.iter().filter_map(owed).collect();
        pages.lost.extend(lost);
        pages.dead.insert(life);
        self.note(&mut pages, Event::Crashed { host, life });
    }

    /// Rows of which nobody promised that the store agrees with the origin.
    pub(super) fn lost(&self) -> BTreeSet<Subject> {
        self.pages().lost.clone()
    }

    pub(super) fn requests(&self) -> usize {
        self.pages().requests
    }

    /// Everything that breaks a promise.
    pub(super) fn judge(&self) -> Vec<Violation> {
        let promises = Promises { oldest: None, repairs: false, answers: true };
        checker::check(promises, &self.pages().history)
    }
}
