//! Events and actions as a report spells them.

use std::fmt::Write;

use crate::policy::{Action, Event, Failure, Lifetime, LoadReport, Moment, Sighting};

/// `lease-held for 250 ms, at 1000 ms`
pub(super) fn shown_event(event: Event, moment: Moment) -> String {
    let mut text = match event {
        Event::Found(seen) => format!("found {}", sighting(seen)),
        Event::LeaseHeld(held_ms) => format!("lease-held for {held_ms} ms"),
        Event::Loaded(LoadReport { cost_ms, negative: false, .. }) => {
            format!("loaded in {cost_ms} ms")
        }
        Event::Loaded(LoadReport { cost_ms, negative: true, .. }) => {
            format!("loaded in {cost_ms} ms, no such row")
        }
        Event::LoadFailed(Failure { cause, at_hand: None }) => {
            format!("load-failed, {}", cause.name())
        }
        Event::LoadFailed(Failure { cause, at_hand: Some(seen) }) => {
            format!("load-failed, {}, at hand {}", cause.name(), sighting(seen))
        }
        Event::Absent
        | Event::Bypassed
        | Event::StoreUnavailable
        | Event::LeaseGranted
        | Event::Waited
        | Event::Filled
        | Event::FillRejected => event.name().to_owned(),
    };
    if moment.elapsed_ms > 0 {
        let Moment { elapsed_ms, left_ms, .. } = moment;
        // Writing to a string does not fail.
        let _ = write!(text, ", at {elapsed_ms} ms with {left_ms} ms left");
    }
    text
}

/// `claim 1000 ms`
pub(super) fn shown_action(action: Action) -> String {
    match action {
        Action::Claim(ms) | Action::Wait(ms) => format!("{} {ms} ms", action.name()),
        Action::Fill(Lifetime { fresh_ms, stale_ms, refresh_ms }) => {
            format!("fill, fresh {fresh_ms} ms, stale {stale_ms} ms, refresh at {refresh_ms} ms")
        }
        Action::Look
        | Action::Load
        | Action::LoadUncached
        | Action::Answer
        | Action::AnswerAndRefresh
        | Action::Fail => action.name().to_owned(),
    }
}

fn sighting(seen: Sighting) -> String {
    let life = match seen {
        Sighting { fresh_ms: 0, past_ms, .. } => format!("stale for {past_ms} ms"),
        Sighting { refresh_ms: 0, fresh_ms, .. } => {
            format!("fresh for {fresh_ms} ms and due for refresh")
        }
        Sighting { fresh_ms, .. } => format!("fresh for {fresh_ms} ms"),
    };
    if seen.negative { format!("{life}, no such row") } else { life }
}
