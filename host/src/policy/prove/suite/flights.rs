//! A read's way through the stampede, step by step.

use super::{FRESH, Outcome, SuiteFlight, require, stale};
use crate::policy::{Action, Cause, Decider, Event, Failure, LoadReport, Sighting};

const LOADED: Event = Event::Loaded(LoadReport { cost_ms: 20, bytes: 200, negative: false });

pub(super) fn a_cold_read_claims_once_loads_fills_and_answers(policy: &dyn Decider) -> Outcome {
    let mut flight = SuiteFlight::loading(policy)?;
    flight.fills(LOADED)?;
    flight.leads_to(Event::Filled, Action::Answer)
}

pub(super) fn a_fresh_value_is_answered(policy: &dyn Decider) -> Outcome {
    SuiteFlight::of(policy)?.leads_to(Event::Found(FRESH), Action::Answer)?;
    let negative = Sighting { negative: true, ..FRESH };
    SuiteFlight::of(policy)?.leads_to(Event::Found(negative), Action::Answer)?;
    // A language without unsigned numbers takes these times for negative ones.
    let long = Sighting { refresh_ms: u32::MAX, fresh_ms: u32::MAX, ..FRESH };
    SuiteFlight::of(policy)?.leads_to(Event::Found(long), Action::Answer)
}

pub(super) fn a_value_due_early_is_answered(policy: &dyn Decider) -> Outcome {
    let due = Sighting { refresh_ms: 0, ..FRESH };
    let action = SuiteFlight::of(policy)?.on(Event::Found(due))?;
    let answers = matches!(action, Action::Answer | Action::AnswerAndRefresh);
    require!(answers, "a value that is due and fresh led to {action:?}");
    Ok(())
}

pub(super) fn a_stale_value_is_answered_while_it_is_refreshed(policy: &dyn Decider) -> Outcome {
    refreshes(policy, stale(59_999))
}

pub(super) fn a_value_stale_beyond_its_window_is_loaded(policy: &dyn Decider) -> Outcome {
    SuiteFlight::of(policy)?.claims(Event::Found(stale(60_000)))?;
    // That a row did not exist a while ago answers no read.
    let negative = Sighting { negative: true, ..stale(1) };
    SuiteFlight::of(policy)?.claims(Event::Found(negative))
}

pub(super) fn a_failed_load_answers_a_stale_value_within_its_window_alone(
    policy: &dyn Decider,
) -> Outcome {
    let causes = [Cause::Unavailable, Cause::Timeout, Cause::Overloaded, Cause::Rejected];
    for cause in causes {
        for (at_hand, expected) in [
            (None, Action::Fail),
            (Some(FRESH), Action::Answer),
            (Some(stale(3_599_999)), Action::Answer),
            (Some(stale(3_600_000)), Action::Fail),
        ] {
            let failed = Event::LoadFailed(Failure { cause, at_hand });
            SuiteFlight::loading(policy)?.leads_to(failed, expected)?;
        }
    }
    Ok(())
}

pub(super) fn a_held_lease_is_waited_for_and_then_claimed(policy: &dyn Decider) -> Outcome {
    let mut flight = SuiteFlight::of(policy)?;
    flight.claims(Event::Absent)?;
    for _ in 0..20 {
        flight.waits(700, 700)?;
        flight.claims(Event::Waited)?;
    }
    flight.leads_to(Event::Found(FRESH), Action::Answer)
}

pub(super) fn a_wait_ends_with_the_deadline(policy: &dyn Decider) -> Outcome {
    let mut flight = SuiteFlight::of(policy)?;
    flight.claims(Event::Absent)?;
    flight.moment.left_ms = 300;
    flight.waits(700, 300)?;
    flight.claims(Event::Waited)?;
    flight.moment.left_ms = 0;
    flight.leads_to(Event::LeaseHeld(700), Action::LoadUncached)
}

pub(super) fn a_read_that_wants_a_fresh_value_loads_one(policy: &dyn Decider) -> Outcome {
    let mut flight = SuiteFlight::of(policy)?;
    flight.claims(Event::Bypassed)?;
    flight.leads_to(Event::LeaseGranted, Action::Load)
}

pub(super) fn without_a_store_the_origin_is_asked_and_nothing_filled(
    policy: &dyn Decider,
) -> Outcome {
    let mut flight = SuiteFlight::of(policy)?;
    flight.leads_to(Event::StoreUnavailable, Action::LoadUncached)?;
    flight.leads_to(LOADED, Action::Answer)?;
    let mut flight = SuiteFlight::of(policy)?;
    flight.claims(Event::Absent)?;
    flight.leads_to(Event::StoreUnavailable, Action::LoadUncached)?;
    flight.leads_to(LOADED, Action::Answer)
}

pub(super) fn a_rejected_fill_is_answered(policy: &dyn Decider) -> Outcome {
    for ending in [Event::FillRejected, Event::StoreUnavailable] {
        let mut flight = SuiteFlight::loading(policy)?;
        flight.on(LOADED)?;
        flight.leads_to(ending, Action::Answer)?;
    }
    Ok(())
}

pub(super) fn a_refresh_waits_for_nobody(policy: &dyn Decider) -> Outcome {
    for ending in [Event::LeaseHeld(700), Event::Found(FRESH), Event::StoreUnavailable] {
        let mut flight = SuiteFlight::of(policy)?;
        flight.leads_to(Event::Found(stale(1)), Action::AnswerAndRefresh)?;
        flight.claims(Event::Found(stale(1)))?;
        flight.leads_to(ending, Action::Answer)?;
    }
    Ok(())
}

fn refreshes(policy: &dyn Decider, seen: Sighting) -> Outcome {
    let mut flight = SuiteFlight::of(policy)?;
    flight.leads_to(Event::Found(seen), Action::AnswerAndRefresh)?;
    flight.claims(Event::Found(seen))?;
    flight.leads_to(Event::LeaseGranted, Action::Load)?;
    flight.fills(LOADED)?;
    flight.leads_to(Event::Filled, Action::Answer)
}
