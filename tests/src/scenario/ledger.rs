//! The history of a real run, recorded while it happens.

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
    /// For each request, what it writes, as which version, and through which life of a host.
    writing: BTreeMap<RequestId, (Subject, u64, Life)>,
    /// Rows whose newest write the store may not have been told, with the lives of hosts that owe
    /// it.
    owing: BTreeMap<Subject, BTreeSet<Life>>,
    /// Rows whose newest write a killed host still owed to the store: only their lifetime bounds
    /// how long they stay stale.
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

    /// Notes that a write is sent. Until it is acknowledged, the store is owed an invalidation of
    /// its row.
    pub(super) fn wrote(&self, life: Life, subject: Subject, version: u64) -> RequestId {
        let mut pages = self.pages();
        pages.requests += 1;
        let request = pages.requests;
        pages.writing.insert(request, (subject, version, life));
        pages.owing.entry(subject).or_default().insert(life);
        request
    }

    /// Notes that a write was acknowledged; with `pending`, its invalidation still waits for the
    /// store.
    pub(super) fn acknowledged(&self, request: RequestId, pending: bool) {
        let mut pages = self.pages();
        let Some((subject, version, life)) = pages.writing.remove(&request) else { return };
        let change = match subject {
            Subject::Item(id) => crate::sim::truth::Change::Put(id),
            Subject::Team(id) | Subject::Roster(id) => crate::sim::truth::Change::Rename(id),
        };
        self.note(&mut pages, Event::Wrote { request, life, host: 0, change });
        self.note(&mut pages, Event::Committed { request, subject, version, there: true });
        self.note(&mut pages, Event::Acknowledged { request, pending });
        if !pending {
            // This invalidation settles everything that was owed for the row.
            pages.owing.remove(&subject);
            pages.lost.remove(&subject);
        } else if pages.dead.contains(&life) {
            pages.lost.insert(subject);
        }
    }

    /// Notes that a host was killed, and that what it owed is lost.
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

    /// Rows for which it is not promised that the store agrees with the origin.
    pub(super) fn lost(&self) -> BTreeSet<Subject> {
        self.pages().lost.clone()
    }

    pub(super) fn requests(&self) -> usize {
        self.pages().requests
    }

    /// Every broken promise, where a near cache may answer for so long.
    pub(super) fn judge(&self, near: Duration) -> Vec<Violation> {
        let promises = Promises {
            oldest: None,
            near,
            repairs: false,
            answers: true,
            answers_at_rest: true,
            writes: true,
            in_time: true,
        };
        checker::check(promises, &self.pages().history)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::truth::Body;

    const ROW: Subject = Subject::Item(1);

    fn read(ledger: &Ledger, life: Life, version: u64) {
        let request = ledger.asked(0, life, ROW);
        let body = Some(Body { version, team: 0, team_version: 9, at_ms: 0 });
        ledger.event(Event::Answered { request, body, stale_if_error: false, near: false });
    }

    fn write(ledger: &Ledger, life: Life, version: u64, pending: bool) {
        let request = ledger.wrote(life, ROW, version);
        ledger.acknowledged(request, pending);
    }

    #[test]
    fn a_read_older_than_an_acknowledged_write_breaks_a_promise() {
        let ledger = Ledger::new();
        write(&ledger, 0, 2, false);
        read(&ledger, 1, 2);
        assert_eq!(ledger.judge(Duration::ZERO), []);
        read(&ledger, 1, 1);
        assert_eq!(ledger.judge(Duration::ZERO).len(), 1);
    }

    #[test]
    fn a_pending_write_counts_for_the_host_that_took_it() {
        let ledger = Ledger::new();
        write(&ledger, 0, 2, true);
        read(&ledger, 1, 1);
        assert_eq!(ledger.judge(Duration::ZERO), []);
        read(&ledger, 0, 1);
        assert_eq!(ledger.judge(Duration::ZERO).len(), 1);
    }

    #[test]
    fn what_a_dead_host_owed_is_lost_until_somebody_else_pays_it() {
        let ledger = Ledger::new();
        write(&ledger, 0, 2, true);
        ledger.crashed(0, 0);
        assert!(ledger.lost().contains(&ROW));
        write(&ledger, 1, 3, false);
        assert!(ledger.lost().is_empty());
    }

    #[test]
    fn a_request_that_fails_without_a_reason_breaks_a_promise() {
        let ledger = Ledger::new();
        let request = ledger.asked(0, 0, ROW);
        ledger.event(Event::Unanswered { request, why: "503".into(), late: false });
        assert_eq!(ledger.judge(Duration::ZERO).len(), 1);
    }
}
