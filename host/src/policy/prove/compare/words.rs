//! Requests, events, actions and targets as a report spells them.

use crate::policy::run::guard;
use crate::policy::{
    Action, Argument, Change, Event, Failure, Lifetime, LoadReport, Logged, Operation, Refusal,
    Request, Scope, Sighting, Subject, Target, Turn, Way, Written,
};

/// `user.profile(id="42")`
pub(crate) fn request(request: &Request) -> String {
    let name = match &request.subject {
        Subject::Entity(name) => name.clone(),
        Subject::Query(query) => format!("query {:?}", guard::excerpt(&query.sql)),
    };
    format!("{name}({})", arguments(&request.arguments))
}

/// `user.profile.rename(id="42")`, `public.users: updated`
pub(crate) fn change(change: &Change) -> String {
    match change {
        Change::Written(Written { entity, write, arguments: given, rows: _ }) => {
            format!("{entity}.{write}({})", arguments(given))
        }
        Change::Logged(Logged { relation, operation, rows: _ }) => {
            let operation = match operation {
                Operation::Inserted => "inserted",
                Operation::Updated => "updated",
                Operation::Deleted => "deleted",
                Operation::Truncated => "truncated",
            };
            format!("{relation}: {operation}")
        }
    }
}

fn arguments(arguments: &[Argument]) -> String {
    let shown = |argument: &Argument| match &argument.value {
        None => format!("{}=null", argument.name),
        Some(value) => format!("{}={:?}", argument.name, guard::excerpt(value)),
    };
    arguments.iter().map(shown).collect::<Vec<_>>().join(", ")
}

pub(crate) fn refusal(refusal: &Refusal) -> String {
    match refusal {
        Refusal::UnknownEntity => "refused: unknown entity".to_owned(),
        Refusal::MissingArgument(name) => format!("refused: missing argument {name:?}"),
        Refusal::SurplusArgument(name) => format!("refused: surplus argument {name:?}"),
    }
}

pub(crate) fn event(event: Event) -> String {
    match event {
        Event::Found(seen) => format!("found({})", sighting(seen)),
        Event::LeaseHeld(held_ms) => format!("lease-held({held_ms} ms)"),
        Event::Loaded(LoadReport { cost_ms, negative: true, .. }) => {
            format!("loaded(no row, in {cost_ms} ms)")
        }
        Event::Loaded(LoadReport { cost_ms, bytes, negative: false }) => {
            format!("loaded({bytes} bytes, in {cost_ms} ms)")
        }
        Event::LoadFailed(Failure { cause, at_hand }) => {
            let at_hand = at_hand.map_or("nothing".to_owned(), sighting);
            format!("load-failed({}; at hand: {at_hand})", cause.name())
        }
        Event::Absent
        | Event::Bypassed
        | Event::StoreUnavailable
        | Event::LeaseGranted
        | Event::Waited
        | Event::Filled
        | Event::FillRejected => event.name().to_owned(),
    }
}

fn sighting(seen: Sighting) -> String {
    let freshness = match (seen.fresh_ms, seen.refresh_ms) {
        (0, _) => format!("stale for {} ms", seen.past_ms),
        (fresh_ms, 0) => format!("fresh for {fresh_ms} ms, refresh due"),
        (fresh_ms, refresh_ms) => format!("fresh for {fresh_ms} ms, refresh in {refresh_ms} ms"),
    };
    if seen.negative { format!("no row, {freshness}") } else { freshness }
}

pub(crate) fn action(action: Action) -> String {
    match action {
        Action::Claim(lease_ms) => format!("claim({lease_ms} ms)"),
        Action::Wait(at_most_ms) => format!("wait({at_most_ms} ms)"),
        Action::Fill(filled) => format!("fill({})", lifetime(filled)),
        Action::Look
        | Action::Load
        | Action::LoadUncached
        | Action::Answer
        | Action::AnswerAndRefresh
        | Action::Fail => action.name().to_owned(),
    }
}

pub(crate) fn lifetime(lifetime: Lifetime) -> String {
    let Lifetime { fresh_ms, stale_ms, refresh_ms } = lifetime;
    format!("fresh {fresh_ms} ms, stale {stale_ms} ms, refresh at {refresh_ms} ms")
}

/// A step's answer, or why there is none.
pub(crate) fn turn(answer: &Result<Turn, crate::policy::Trap>) -> String {
    match answer {
        Ok(turn) => action(turn.action),
        Err(trap) => trap.to_string(),
    }
}

/// Every target, sorted, since their order means nothing.
pub(crate) fn targets(targets: &[Target]) -> Vec<String> {
    let mut shown: Vec<String> = targets.iter().map(target).collect();
    shown.sort_unstable();
    shown.dedup();
    shown
}

fn target(target: &Target) -> String {
    let way = match target.way {
        Way::Removed => "removes",
        Way::Refreshed => "refreshes",
    };
    match &target.scope {
        Scope::Key(key) => format!("{way} key {key:?}"),
        Scope::Tag(tag) => format!("{way} tag {tag:?}"),
        Scope::Read(read) => format!("{way} {}", request(read)),
    }
}

/// `a → b → c`
pub(crate) fn sequence(events: &[Event]) -> String {
    events.iter().map(|&event| self::event(event)).collect::<Vec<_>>().join(" → ")
}
