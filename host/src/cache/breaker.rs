//! The origin's breaker: once loads time out, a reader that may have a stale value gets it at once, and
//! probes find out when the origin is back.
//!
//! There is one breaker for the origin and one for each entity, since one statement may be slow where the
//! others are not. A load that fails opens a breaker unless another load was answered in the later half of
//! the failed load's time: so a single slow load is not taken for an outage. An answer closes the breaker,
//! even one that rejects the statement.
//!
//! The breaker never refuses a reader that has no value at hand: its load serves as a probe.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::load::LoadError;
use crate::origin::OriginError;
use crate::policy::Cause;

/// The pause before the first probe, and the longest pause: stale answers a second past the end of an outage
/// are bearable, and a database that comes back meets no more than one probe a second from each host.
const FIRST_PROBE: Duration = Duration::from_millis(100);
const LATEST_PROBE: Duration = Duration::from_secs(1);

/// A timeout proves nothing if the load had less than one part in so many of its entity's time.
const FULL_TIME: u32 = 2;

/// The breakers of one host.
#[derive(Debug, Default)]
pub(super) struct OriginBreaker(Mutex<BreakerState>);

#[derive(Debug, Default)]
struct BreakerState {
    origin: Circuit,
    entities: BTreeMap<Arc<str>, Circuit>,
}

/// One breaker.
#[derive(Debug, Default)]
struct Circuit {
    /// When a load was answered last.
    answered: Option<Instant>,
    open: Option<OpenBreaker>,
}

#[derive(Debug, Clone, Copy)]
struct OpenBreaker {
    cause: Cause,
    pause: Duration,
    probe_from: Instant,
}

/// The owner of the loads that fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// The origin's: it has answered no load of any entity since.
    Origin,
    /// The entity's: loads of other entities are answered.
    Entity,
}

impl OriginBreaker {
    /// A load of this entity was answered.
    pub(super) fn answered(&self, entity: &str) {
        let mut state = self.lock();
        state.origin.answer();
        state.of(entity).answer();
    }

    /// A load of this entity that began at `began` failed; `full` is the time that such a load has, and
    /// `chance` draws the pause before the next probe.
    pub(super) fn failed(
        &self,
        entity: &str,
        began: Instant,
        (cause, full): (Cause, Duration),
        chance: u128,
    ) -> Whose {
        let mut state = self.lock();
        let took = began.elapsed();
        let since = began + took / 2;
        let is_alone = !state.origin.has_answered_since(since);
        let whose = if is_alone { Whose::Origin } else { Whose::Entity };
        if cause == Cause::Timeout && took < full / FULL_TIME {
            return whose;
        }
        if is_alone {
            state.origin.fail(cause, chance);
        }
        let circuit = state.of(entity);
        if !circuit.has_answered_since(since) {
            circuit.fail(cause, chance);
        }
        whose
    }

    /// Why loads of this entity fail at present; `None` if they don't.
    pub(super) fn open_for(&self, entity: &str) -> Option<Cause> {
        let state = self.lock();
        let of_entity = || state.entities.get(entity).and_then(|circuit| circuit.open);
        state.origin.open.or_else(of_entity).map(|open| open.cause)
    }

    /// Whether a probe of this entity may begin now. A caller that gets `true` has to begin it.
    pub(super) fn may_probe(&self, entity: &str) -> bool {
        let mut state = self.lock();
        let BreakerState { origin, entities } = &mut *state;
        let circuits = std::iter::once(origin).chain(entities.get_mut(entity));
        let mut open: Vec<&mut OpenBreaker> = circuits.filter_map(|c| c.open.as_mut()).collect();
        let now = Instant::now();
        if open.iter().any(|open| open.probe_from > now) {
            return false;
        }
        // No second probe begins so soon, while this one may be under way.
        open.iter_mut().for_each(|open| open.probe_from = now + LATEST_PROBE);
        true
    }

    fn lock(&self) -> MutexGuard<'_, BreakerState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BreakerState {
    fn of(&mut self, entity: &str) -> &mut Circuit {
        if !self.entities.contains_key(entity) {
            self.entities.insert(entity.into(), Circuit::default());
        }
        self.entities.entry(entity.into()).or_default()
    }
}

impl Circuit {
    fn answer(&mut self) {
        self.answered = Some(Instant::now());
        self.open = None;
    }

    fn has_answered_since(&self, since: Instant) -> bool {
        self.answered.is_some_and(|at| at >= since)
    }

    fn fail(&mut self, cause: Cause, chance: u128) {
        let pause = self.open.map_or(FIRST_PROBE, |open| (open.pause * 2).min(LATEST_PROBE));
        let probe_from = Instant::now() + jittered(pause, chance);
        self.open = Some(OpenBreaker { cause, pause, probe_from });
    }
}

/// A time between half of a pause and one and a half, so that hosts which began to wait together do not ask
/// together.
pub(super) fn jittered(pause: Duration, chance: u128) -> Duration {
    let part = u32::try_from(chance % 1_000).unwrap_or_default();
    pause / 2 + pause * part / 1_000
}

/// Whether a load's error means that the origin does not answer.
pub(super) fn is_silence(error: &LoadError) -> bool {
    match error {
        LoadError::Origin(OriginError::Unavailable(_) | OriginError::Timeout(_)) => true,
        LoadError::Origin(
            OriginError::Rejected { .. } | OriginError::Undone { .. } | OriginError::TooLarge,
        )
        | LoadError::Overloaded => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Duration = Duration::from_secs(2);
    const LATE: (Cause, Duration) = (Cause::Timeout, FULL);

    async fn fail(breaker: &OriginBreaker, entity: &str, after: Duration) -> Whose {
        let began = Instant::now();
        tokio::time::advance(after).await;
        breaker.failed(entity, began, LATE, 500)
    }

    /// A load that fails, while a load of `other` is answered at `at` after its beginning.
    async fn fail_beside(
        breaker: &OriginBreaker,
        entity: &str,
        other: &str,
        at: Duration,
    ) -> Whose {
        let began = Instant::now();
        tokio::time::advance(at).await;
        breaker.answered(other);
        tokio::time::advance(FULL - at).await;
        breaker.failed(entity, began, LATE, 500)
    }

    #[tokio::test(start_paused = true)]
    async fn a_load_that_was_late_opens_it_for_everybody_if_nothing_else_was_answered() {
        let breaker = OriginBreaker::default();
        assert_eq!(breaker.open_for("a"), None);
        assert_eq!(fail(&breaker, "a", FULL).await, Whose::Origin);
        assert_eq!(breaker.open_for("b"), Some(Cause::Timeout));
        breaker.answered("b");
        assert_eq!(breaker.open_for("b"), None);
        assert_eq!(breaker.open_for("a"), Some(Cause::Timeout), "its own loads have not ended yet");
        breaker.answered("a");
        assert_eq!(breaker.open_for("a"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_statement_among_answers_opens_that_of_its_entity_alone() {
        let breaker = OriginBreaker::default();
        let whose = fail_beside(&breaker, "slow", "quick", FULL * 3 / 4).await;
        assert_eq!(whose, Whose::Entity);
        assert_eq!((breaker.open_for("quick"), breaker.open_for("slow")), (None, Some(LATE.0)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_key_of_an_entity_whose_others_are_answered_opens_nothing() {
        let breaker = OriginBreaker::default();
        fail_beside(&breaker, "item", "item", FULL * 3 / 4).await;
        assert_eq!(breaker.open_for("item"), None);
    }

    /// The other load may have been answered a moment before the origin went silent.
    #[tokio::test(start_paused = true)]
    async fn what_was_answered_before_a_long_silence_does_not_count() {
        let breaker = OriginBreaker::default();
        assert_eq!(fail_beside(&breaker, "item", "other", FULL / 4).await, Whose::Origin);
        assert_eq!(breaker.open_for("other"), Some(LATE.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_load_that_had_hardly_any_time_proves_nothing() {
        let breaker = OriginBreaker::default();
        fail(&breaker, "item", FULL / 4).await;
        assert_eq!(breaker.open_for("item"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn probes_come_one_at_a_time_and_no_oftener_than_once_a_second_in_the_end() {
        let breaker = OriginBreaker::default();
        fail(&breaker, "item", FULL).await;
        assert!(!breaker.may_probe("item"), "it has just failed");
        let mut probes = 0;
        for _ in 0..100 {
            tokio::time::advance(Duration::from_millis(100)).await;
            if breaker.may_probe("item") {
                probes += 1;
                assert!(!breaker.may_probe("item"), "another one is under way");
                breaker.failed("item", Instant::now(), (Cause::Unavailable, FULL), 500);
            }
        }
        assert!((10..=14).contains(&probes), "{probes} probes in ten seconds");
    }
}
