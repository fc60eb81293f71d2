//! Judges a history: could it have come from a cache that keeps its promises?
//!
//! Rows carry versions that grow with every commit. What a read may answer follows from the writes
//! that were acknowledged before it began:
//!
//! * an acknowledged write counts for every host at once; a write that was acknowledged as
//!   *pending* counts for the host that took it, and for the others once that host has drained its
//!   pending invalidations;
//! * a write that was not acknowledged (its host died, or its commit ended in doubt) counts
//!   [`REPAIRED`] after its commit, provided the store kept what it was told. While the origin is
//!   disturbed, no host can find out that the commit has ended, so that time begins when the
//!   disturbance is over;
//! * a near cache may answer a value that a write on another host made untrue until the news of
//!   that write has arrived, but not one that a write on its own host made untrue;
//! * writes that a host had pending when it died count as if they had not been acknowledged;
//! * a value of an epoch that is over may be answered if a load fails, marked as such. This is the
//!   only exception, and it is made only if a node was replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::history::{Event, History, Life, RequestId};
use super::truth::{Body, Subject};

/// By then another host has carried out the intents that a dead host announced.
const REPAIRED: Duration = Duration::from_secs(3);

/// Clocks are read in whole milliseconds, and a host's estimate of the store's lags a little.
const CLOCK_SLACK_MS: u64 = 20;

/// The promises that a history must keep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promises {
    /// The longest time for which a value may be answered after its load; `None` if rows don't say
    /// when they were loaded.
    pub(crate) oldest: Option<Duration>,
    /// How long a near cache may not know of a write on another host.
    pub(crate) near: Duration,
    /// Whether the store keeps what it is told, so that a write whose host died counts after
    /// [`REPAIRED`].
    pub(crate) repairs: bool,
    /// Whether only a mistake of the cache can keep a read from its answer.
    pub(crate) answers: bool,
    /// The same, once all disturbances are over.
    pub(crate) answers_at_rest: bool,
    /// The same for a write, before all disturbances are over.
    pub(crate) writes: bool,
    /// Every request is answered by its deadline, if only with an error.
    pub(crate) in_time: bool,
}

/// Within this time a host follows a clock that was set.
const FOLLOWED_MS: u64 = 1_500;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// When, in milliseconds since the beginning.
    pub at_ms: u64,
    /// What was broken.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7} ms  {}", self.at_ms, self.what)
    }
}

/// Every broken promise of the history.
pub(crate) fn check(promises: Promises, history: &History) -> Vec<Violation> {
    let mut checker = Checker::new(promises);
    for (at_ms, event) in history.events() {
        checker.event(at_ms, event);
    }
    checker.violations
}

/// The newest version of each row that a read must know.
type Floors = BTreeMap<Subject, u64>;

struct Asked {
    at_ms: u64,
    subject: Subject,
    fresh: bool,
    /// The floors when it was asked.
    floors: Floors,
    /// The same for an answer from a near cache.
    near_floors: Floors,
}

/// The moment from which a version counts.
struct Raised {
    at_ms: u64,
    /// The life of the host that acknowledged it; `None` if it was not acknowledged.
    life: Option<Life>,
    subject: Subject,
    version: u64,
}

struct Written {
    life: Life,
    committed: Vec<Commit>,
}

#[derive(Clone, Copy)]
struct Commit {
    /// The moment from which the time for its repair runs.
    at_ms: u64,
    life: Life,
    subject: Subject,
    version: u64,
}

struct Checker {
    promises: Promises,
    floors: Floors,
    raised: Vec<Raised>,
    /// Floors that count for one life only, until that life has drained.
    owed: BTreeMap<Life, Floors>,
    absent: BTreeSet<(Subject, u64)>,
    asked: BTreeMap<RequestId, Asked>,
    written: BTreeMap<RequestId, Written>,
    /// Commits that were not acknowledged.
    unacknowledged: Vec<(RequestId, Commit)>,
    dead: BTreeSet<Life>,
    /// A node was replaced: values of its epoch may return when a load fails.
    replaced: bool,
    /// The origin can't be asked for transactions.
    is_origin_disturbed: bool,
    /// When a clock was set.
    stepped_ms: Vec<u64>,
    at_rest: bool,
    violations: Vec<Violation>,
}

impl Checker {
    fn new(promises: Promises) -> Self {
        Self {
            promises,
            floors: Floors::new(),
            raised: Vec::new(),
            owed: BTreeMap::new(),
            absent: BTreeSet::new(),
            asked: BTreeMap::new(),
            written: BTreeMap::new(),
            unacknowledged: Vec::new(),
            dead: BTreeSet::new(),
            replaced: false,
            is_origin_disturbed: false,
            stepped_ms: Vec::new(),
            at_rest: false,
            violations: Vec::new(),
        }
    }

    fn event(&mut self, at_ms: u64, event: &Event) {
        self.repair(at_ms);
        match event {
            Event::Asked { request, life, subject, fresh, .. } => {
                let asked = self.ask(at_ms, *life, *subject, *fresh);
                self.asked.insert(*request, asked);
            }
            Event::Answered { request, body, stale_if_error, near } => {
                if let Some(mut asked) = self.asked.remove(request) {
                    if *near {
                        asked.floors = std::mem::take(&mut asked.near_floors);
                    }
                    self.answer(at_ms, *request, &asked, body.as_ref(), *stale_if_error);
                }
            }
            Event::Unanswered { request, why, late } => {
                self.asked.remove(request);
                if *late && self.promises.in_time {
                    self.object(at_ms, format!("#{request} has no answer by its deadline"));
                } else if !*late
                    && (self.promises.answers || (self.at_rest && self.promises.answers_at_rest))
                {
                    self.object(at_ms, format!("#{request} failed without a reason: {why}"));
                }
            }
            Event::Wrote { request, life, .. } => {
                self.written.insert(*request, Written { life: *life, committed: Vec::new() });
            }
            Event::Committed { request, subject, version, there } => {
                self.commit(at_ms, *request, *subject, *version, *there);
            }
            Event::Acknowledged { request, pending } => {
                self.acknowledge(at_ms, *request, *pending);
            }
            Event::Failed { request, why, in_doubt } => {
                if !*in_doubt && self.promises.writes {
                    self.object(at_ms, format!("#{request} failed without a reason: {why}"));
                }
            }
            Event::Drained { life } => {
                for (subject, version) in self.owed.remove(life).unwrap_or_default() {
                    self.raise(Raised { at_ms, life: Some(*life), subject, version });
                }
            }
            Event::Crashed { life, .. } => self.crash(at_ms, *life),
            Event::Replaced => self.replaced = true,
            Event::OriginDisturbed => self.is_origin_disturbed = true,
            Event::OriginBack => self.origin_is_back(at_ms),
            Event::Stepped => self.stepped_ms.push(at_ms),
            Event::ClaimedInVain { .. }
            | Event::LeasedTwice { .. }
            | Event::LeaseLapsed { .. }
            | Event::HeldByNobody { .. }
            | Event::WrongRow { .. }
            | Event::LoadedTwiceAtOnce { .. } => {
                self.object(at_ms, event.to_string());
            }
            Event::AtRest => self.rest(at_ms),
        }
    }

    fn ask(&self, at_ms: u64, life: Life, subject: Subject, fresh: bool) -> Asked {
        let (mut floors, mut near_floors) = (self.floors.clone(), Floors::new());
        let lag_ms = u64::try_from(self.promises.near.as_millis()).unwrap_or(u64::MAX >> 1);
        let known = |raised: &&Raised| raised.life == Some(life) || raised.at_ms + lag_ms < at_ms;
        for Raised { subject, version, .. } in self.raised.iter().filter(known) {
            raise(&mut near_floors, *subject, *version);
        }
        for (subject, version) in self.owed.get(&life).into_iter().flatten() {
            raise(&mut floors, *subject, *version);
            raise(&mut near_floors, *subject, *version);
        }
        Asked { at_ms, subject, fresh, floors, near_floors }
    }

    fn raise(&mut self, raised: Raised) {
        raise(&mut self.floors, raised.subject, raised.version);
        self.raised.push(raised);
    }

    fn answer(
        &mut self,
        at_ms: u64,
        request: RequestId,
        asked: &Asked,
        body: Option<&Body>,
        stale_if_error: bool,
    ) {
        if stale_if_error && self.replaced {
            return self.check_age(at_ms, request, asked, body, true);
        }
        let floor = |subject| asked.floors.get(&subject).copied().unwrap_or(0);
        let Some(body) = body else {
            let (from, to) = ((asked.subject, floor(asked.subject)), (asked.subject, u64::MAX));
            if self.absent.range(from..=to).next().is_none() {
                self.object(at_ms, format!("#{request} missed a row that is there"));
            }
            return;
        };
        let rows = [(asked.subject, body.version), (Subject::Team(body.team), body.team_version)];
        // A team's body has the same row twice, and a roster's has nothing of the team.
        let is_one = rows[0] == rows[1] || matches!(asked.subject, Subject::Roster(_));
        let rows = if is_one { &rows[..1] } else { &rows };
        for (subject, version) in rows.iter().copied() {
            if version < floor(subject) {
                let newest = floor(subject);
                let what = format!("#{request} read version {version} of {subject}, not {newest}");
                self.object(at_ms, what);
            }
        }
        self.check_age(at_ms, request, asked, Some(body), stale_if_error);
    }

    fn check_age(
        &mut self,
        at_ms: u64,
        request: RequestId,
        asked: &Asked,
        body: Option<&Body>,
        stale_if_error: bool,
    ) {
        let Some(body) = body else { return };
        // Between a step of a node's clock and the moment when hosts follow it, lifetimes mean
        // nothing.
        let loaded_ms = body.at_ms.saturating_sub(super::world::EPOCH_MS);
        let is_set = |set_ms: &u64| loaded_ms < set_ms + FOLLOWED_MS && *set_ms <= at_ms;
        if self.stepped_ms.iter().any(is_set) {
            return;
        }
        let age_ms = self.age(at_ms, asked, body);
        if asked.fresh && !stale_if_error && age_ms > CLOCK_SLACK_MS {
            self.object(
                at_ms,
                format!("#{request} wanted a fresh load and got one of {age_ms} ms"),
            );
        }
        let oldest = self.promises.oldest.map(|oldest| oldest.as_millis());
        if oldest.is_some_and(|oldest| u128::from(age_ms) > oldest + u128::from(CLOCK_SLACK_MS)) {
            self.object(
                at_ms,
                format!("#{request} read a value of {age_ms} ms, past its lifetime"),
            );
        }
    }

    /// How old a body was when its read began.
    fn age(&self, at_ms: u64, asked: &Asked, body: &Body) -> u64 {
        let since_began = at_ms - asked.at_ms;
        (super::world::EPOCH_MS + at_ms).saturating_sub(body.at_ms).saturating_sub(since_began)
    }

    fn commit(
        &mut self,
        at_ms: u64,
        request: RequestId,
        subject: Subject,
        version: u64,
        there: bool,
    ) {
        if !there {
            self.absent.insert((subject, version));
        }
        let Some(written) = self.written.get_mut(&request) else { return };
        let commit = Commit { at_ms, life: written.life, subject, version };
        written.committed.push(commit);
        self.unacknowledged.push((request, commit));
    }

    fn acknowledge(&mut self, at_ms: u64, request: RequestId, pending: bool) {
        let Some(Written { life, committed }) = self.written.remove(&request) else { return };
        self.unacknowledged.retain(|(of, _)| *of != request);
        for Commit { subject, version, .. } in committed {
            if pending {
                raise(self.owed.entry(life).or_default(), subject, version);
            } else {
                self.raise(Raised { at_ms, life: Some(life), subject, version });
            }
        }
    }

    /// Its pending invalidations were announced, if the store took them, so their commits count
    /// after [`REPAIRED`].
    fn crash(&mut self, at_ms: u64, life: Life) {
        self.dead.insert(life);
        let owed = self.owed.remove(&life).unwrap_or_default();
        // No request has this number, so this commit is never acknowledged.
        let lost = |(subject, version)| (usize::MAX, Commit { at_ms, life, subject, version });
        self.unacknowledged.extend(owed.into_iter().map(lost));
    }

    /// At rest, every commit through a host that lives is known everywhere.
    fn rest(&mut self, at_ms: u64) {
        self.at_rest = true;
        let repairs = self.promises.repairs;
        let dead = &self.dead;
        let known = |commit: &Commit| repairs || !dead.contains(&commit.life);
        let known: Vec<_> = self.unacknowledged.extract_if(.., |(_, c)| known(c)).collect();
        for (_, Commit { subject, version, .. }) in known {
            self.raise(Raised { at_ms, life: None, subject, version });
        }
    }

    /// The time for repairs begins again.
    fn origin_is_back(&mut self, at_ms: u64) {
        self.is_origin_disturbed = false;
        for (_, commit) in &mut self.unacknowledged {
            commit.at_ms = at_ms;
        }
    }

    /// Commits that were not acknowledged count after a while.
    fn repair(&mut self, at_ms: u64) {
        if !self.promises.repairs || self.is_origin_disturbed {
            return;
        }
        let repaired_ms = u64::try_from(REPAIRED.as_millis()).unwrap_or(u64::MAX);
        let due = |commit: &Commit| commit.at_ms + repaired_ms <= at_ms;
        let due: Vec<_> = self.unacknowledged.extract_if(.., |(_, c)| due(c)).collect();
        for (_, Commit { subject, version, .. }) in due {
            self.raise(Raised { at_ms, life: None, subject, version });
        }
    }

    fn object(&mut self, at_ms: u64, what: String) {
        self.violations.push(Violation { at_ms, what });
    }
}

fn raise(floors: &mut Floors, subject: Subject, version: u64) {
    let floor = floors.entry(subject).or_default();
    *floor = version.max(*floor);
}
