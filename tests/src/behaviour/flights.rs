//! A read's way through the stampede, step by step.

use anyhow::{Result, ensure};
use corral_host::policy::{Action, Cause, Event, Failure, Policy, Report, Sighting};

use super::{FRESH, Flight, stale};

const LOADED: Event = Event::Loaded(Report { cost_ms: 20, bytes: 200, negative: false });

pub(super) fn a_cold_read_claims_loads_fills_and_answers(policy: &dyn Policy) -> Result<()> {
    let mut flight = Flight::loading(policy)?;
    let action = flight.on(LOADED)?;
    ensure!(matches!(action, Action::Fill(_)), "{action:?}");
    flight.expect(Event::Filled, Action::Answer)
}

pub(super) fn a_fresh_value_is_answered(policy: &dyn Policy) -> Result<()> {
    Flight::of(policy)?.expect(Event::Found(FRESH), Action::Answer)?;
    let negative = Sighting { negative: true, ..FRESH };
    Flight::of(policy)?.expect(Event::Found(negative), Action::Answer)
}

pub(super) fn a_value_due_early_is_answered_and_refreshed(policy: &dyn Policy) -> Result<()> {
    let due = Sighting { refresh_ms: 0, ..FRESH };
    refreshes(policy, due)
}

pub(super) fn a_stale_value_is_answered_while_it_is_refreshed(policy: &dyn Policy) -> Result<()> {
    refreshes(policy, stale(59_999))
}

pub(super) fn a_value_stale_beyond_its_window_is_loaded(policy: &dyn Policy) -> Result<()> {
    Flight::of(policy)?.expect(Event::Found(stale(60_000)), Action::Claim(1_000))?;
    // That a row did not exist a while ago is no answer.
    let negative = Sighting { negative: true, ..stale(1) };
    Flight::of(policy)?.expect(Event::Found(negative), Action::Claim(1_000))
}

pub(super) fn a_failed_load_answers_a_stale_value_within_its_window_alone(
    policy: &dyn Policy,
) -> Result<()> {
    let causes = [Cause::Unavailable, Cause::Timeout, Cause::Overloaded, Cause::Rejected];
    for cause in causes {
        for (at_hand, expected) in [
            (None, Action::Fail),
            (Some(FRESH), Action::Answer),
            (Some(stale(3_599_999)), Action::Answer),
            (Some(stale(3_600_000)), Action::Fail),
        ] {
            let failed = Event::LoadFailed(Failure { cause, at_hand });
            Flight::loading(policy)?.expect(failed, expected)?;
        }
    }
    Ok(())
}

pub(super) fn a_held_lease_is_waited_for_and_then_claimed(policy: &dyn Policy) -> Result<()> {
    let mut flight = Flight::of(policy)?;
    flight.expect(Event::Absent, Action::Claim(1_000))?;
    for _ in 0..20 {
        flight.expect(Event::LeaseHeld(700), Action::Wait(700))?;
        flight.expect(Event::Waited, Action::Claim(1_000))?;
    }
    flight.expect(Event::Found(FRESH), Action::Answer)
}

pub(super) fn a_wait_ends_with_the_deadline(policy: &dyn Policy) -> Result<()> {
    let mut flight = Flight::of(policy)?;
    flight.expect(Event::Absent, Action::Claim(1_000))?;
    flight.moment.left_ms = 300;
    flight.expect(Event::LeaseHeld(700), Action::Wait(300))?;
    flight.expect(Event::Waited, Action::Claim(1_000))?;
    flight.moment.left_ms = 0;
    flight.expect(Event::LeaseHeld(700), Action::LoadUncached)
}

pub(super) fn a_read_that_wants_a_fresh_value_loads_one(policy: &dyn Policy) -> Result<()> {
    let mut flight = Flight::of(policy)?;
    flight.expect(Event::Bypassed, Action::Claim(1_000))?;
    flight.expect(Event::LeaseGranted, Action::Load)
}

pub(super) fn without_a_store_the_origin_is_asked_and_nothing_filled(
    policy: &dyn Policy,
) -> Result<()> {
    let mut flight = Flight::of(policy)?;
    flight.expect(Event::StoreUnavailable, Action::LoadUncached)?;
    flight.expect(LOADED, Action::Answer)?;
    let mut flight = Flight::of(policy)?;
    flight.expect(Event::Absent, Action::Claim(1_000))?;
    flight.expect(Event::StoreUnavailable, Action::LoadUncached)?;
    flight.expect(LOADED, Action::Answer)
}

pub(super) fn a_rejected_fill_is_answered(policy: &dyn Policy) -> Result<()> {
    for ending in [Event::FillRejected, Event::StoreUnavailable] {
        let mut flight = Flight::loading(policy)?;
        flight.on(LOADED)?;
        flight.expect(ending, Action::Answer)?;
    }
    Ok(())
}

pub(super) fn a_refresh_waits_for_nobody(policy: &dyn Policy) -> Result<()> {
    for ending in [Event::LeaseHeld(700), Event::Found(FRESH), Event::StoreUnavailable] {
        let mut flight = Flight::of(policy)?;
        flight.expect(Event::Found(stale(1)), Action::AnswerAndRefresh)?;
        flight.expect(Event::Found(stale(1)), Action::Claim(1_000))?;
        flight.expect(ending, Action::Answer)?;
    }
    Ok(())
}

fn refreshes(policy: &dyn Policy, seen: Sighting) -> Result<()> {
    let mut flight = Flight::of(policy)?;
    flight.expect(Event::Found(seen), Action::AnswerAndRefresh)?;
    flight.expect(Event::Found(seen), Action::Claim(1_000))?;
    flight.expect(Event::LeaseGranted, Action::Load)?;
    let action = flight.on(LOADED)?;
    ensure!(matches!(action, Action::Fill(_)), "{action:?}");
    flight.expect(Event::Filled, Action::Answer)
}
