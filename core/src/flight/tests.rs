//! Each arm by name. What holds for all of them together is in `explorer`.

use super::*;
use crate::{Cause, Lifetime};

pub(super) const TERMS: Terms = Terms {
    ttl_ms: 300_000,
    stale_while_revalidate_ms: 60_000,
    stale_if_error_ms: 3_600_000,
    negative_ttl_ms: 30_000,
};

pub(super) const TUNING: Tuning = Tuning {
    spread: LifetimeDraw { jitter: 0.2, early_refresh: 1.0 },
    lease_ms: 1_000,
    patience_ms: 0,
};

pub(super) const FRESH: Sighting = Sighting {
    age_ms: 100_000,
    refresh_ms: 150_000,
    fresh_ms: 200_000,
    past_ms: 0,
    cost_ms: 50,
    negative: false,
};
pub(super) const DUE: Sighting = Sighting { refresh_ms: 0, fresh_ms: 10, ..FRESH };
pub(super) const STALE: Sighting = Sighting { fresh_ms: 0, past_ms: 59_999, ..DUE };
pub(super) const OLD: Sighting = Sighting { past_ms: 60_000, ..STALE };
pub(super) const TOO_OLD: Sighting = Sighting { past_ms: 3_600_000, ..STALE };
pub(super) const NO_SUCH_ROW: Sighting = Sighting { negative: true, ..FRESH };
pub(super) const NO_SUCH_ROW_THEN: Sighting = Sighting { negative: true, ..STALE };

const REPORT: LoadReport = LoadReport { cost_ms: 80, bytes: 2_000, negative: false };

#[test]
fn an_absent_value_is_claimed() {
    assert_eq!(after(Phase::Looking, Event::Absent), (Phase::Claiming, Action::Claim(1_000)));
}

#[test]
fn a_fresh_value_is_answered() {
    assert_eq!(found(Phase::Looking, FRESH), (Phase::Done, Action::Answer));
    assert_eq!(found(Phase::Looking, NO_SUCH_ROW), (Phase::Done, Action::Answer));
}

#[test]
fn a_fresh_value_that_is_due_is_answered_and_refreshed() {
    assert_eq!(found(Phase::Looking, DUE), (Phase::Refreshing, Action::AnswerAndRefresh));
}

#[test]
fn without_early_refresh_a_due_value_is_answered_only() {
    let spread = LifetimeDraw { early_refresh: 0.0, ..TUNING.spread };
    let tuning = Tuning { spread, ..TUNING };
    let turn = step(&TERMS, &tuning, at(Phase::Looking), moment(), Event::Found(DUE));
    assert_eq!(turn.action, Action::Answer);
}

#[test]
fn a_value_stale_within_its_window_is_answered_and_refreshed() {
    assert_eq!(found(Phase::Looking, STALE), (Phase::Refreshing, Action::AnswerAndRefresh));
}

#[test]
fn a_value_stale_beyond_its_window_is_claimed() {
    assert_eq!(found(Phase::Looking, OLD), (Phase::Claiming, Action::Claim(1_000)));
    assert_eq!(found(Phase::Looking, NO_SUCH_ROW_THEN), (Phase::Claiming, Action::Claim(1_000)));
}

#[test]
fn a_bypassed_look_is_claimed() {
    assert_eq!(after(Phase::Looking, Event::Bypassed), (Phase::Claiming, Action::Claim(1_000)));
}

#[test]
fn without_the_store_the_origin_is_asked_and_nothing_kept() {
    for phase in [Phase::Looking, Phase::Claiming] {
        let turn = after(phase, Event::StoreUnavailable);
        assert_eq!(turn, (Phase::LoadingUncached, Action::LoadUncached));
    }
}

#[test]
fn a_granted_lease_loads() {
    assert_eq!(after(Phase::Claiming, Event::LeaseGranted), (Phase::Loading, Action::Load));
}

#[test]
fn a_held_lease_is_waited_for_while_it_lasts() {
    assert_eq!(after(Phase::Claiming, Event::LeaseHeld(700)), (Phase::Waiting, Action::Wait(700)));
    assert_eq!(after(Phase::Claiming, Event::LeaseHeld(0)), (Phase::Waiting, Action::Wait(1)));
}

#[test]
fn a_wait_ends_at_the_deadline_at_the_latest() {
    let wait = |left_ms| {
        let moment = Moment { left_ms, ..moment() };
        step(&TERMS, &TUNING, at(Phase::Claiming), moment, Event::LeaseHeld(700)).action
    };
    assert_eq!(wait(300), Action::Wait(300));
    assert_eq!(wait(0), Action::LoadUncached);
}

#[test]
fn patience_counts_from_the_first_wait_however_often_it_is_woken() {
    let tuning = Tuning { patience_ms: 500, ..TUNING };
    let mut memo = at(Phase::Claiming);
    for (elapsed_ms, expected) in [
        (100, Action::Wait(400)),
        (400, Action::Wait(200)),
        (599, Action::Wait(1)),
        (600, Action::LoadUncached),
    ] {
        let moment = Moment { elapsed_ms, ..moment() };
        let turn = step(&TERMS, &tuning, memo, moment, Event::LeaseHeld(400));
        assert_eq!(turn.action, expected, "{elapsed_ms}");
        memo = step(&TERMS, &tuning, turn.memo, moment, Event::Waited).memo;
    }
}

#[test]
fn patience_that_began_at_once_is_not_forgotten() {
    let tuning = Tuning { patience_ms: 500, ..TUNING };
    let first = Moment { elapsed_ms: 0, ..moment() };
    let memo = step(&TERMS, &tuning, at(Phase::Claiming), first, Event::LeaseHeld(400)).memo;
    let memo = step(&TERMS, &tuning, memo, first, Event::Waited).memo;
    let late = Moment { elapsed_ms: 501, ..moment() };
    let turn = step(&TERMS, &tuning, memo, late, Event::LeaseHeld(400));
    assert_eq!(turn.action, Action::LoadUncached);
}

#[test]
fn after_a_wait_the_flight_claims_again() {
    assert_eq!(after(Phase::Waiting, Event::Waited), (Phase::Claiming, Action::Claim(1_000)));
}

#[test]
fn what_a_claim_finds_is_answered_as_a_look_would() {
    assert_eq!(found(Phase::Claiming, FRESH), (Phase::Done, Action::Answer));
    assert_eq!(found(Phase::Claiming, STALE), (Phase::Refreshing, Action::AnswerAndRefresh));
}

#[test]
fn useless_finds_end_in_a_load_of_its_own() {
    let mut memo = at(Phase::Claiming);
    let mut actions = std::vec::Vec::new();
    while actions.last() != Some(&Action::LoadUncached) {
        let turn = step(&TERMS, &TUNING, memo, moment(), Event::Found(OLD));
        memo = turn.memo;
        actions.push(turn.action);
    }
    assert_eq!(actions, [Action::Claim(1_000), Action::Claim(1_000), Action::LoadUncached]);
}

#[test]
fn a_load_under_the_lease_is_filled() {
    let (phase, action) = after(Phase::Loading, Event::Loaded(REPORT));
    let lifetime = lifetime::draw(&TERMS, &TUNING.spread, REPORT, moment().entropy);
    assert_eq!((phase, action), (Phase::Filling, Action::Fill(lifetime)));
}

#[test]
fn the_absence_of_a_row_replaces_what_is_stored_even_if_it_is_not_to_be_kept() {
    let terms = Terms { negative_ttl_ms: 0, ..TERMS };
    let absence = Event::Loaded(LoadReport { negative: true, ..REPORT });
    let expected = Action::Fill(Lifetime { fresh_ms: 1, stale_ms: 0, refresh_ms: 1 });
    for phase in [Phase::Loading, Phase::RefreshLoading] {
        assert_eq!(step(&terms, &TUNING, at(phase), moment(), absence).action, expected);
    }
}

#[test]
fn a_failed_load_answers_what_is_at_hand_within_its_window() {
    for phase in [Phase::Loading, Phase::LoadingUncached] {
        for (at_hand, expected) in [
            (None, Action::Fail),
            (Some(FRESH), Action::Answer),
            (Some(OLD), Action::Answer),
            (Some(TOO_OLD), Action::Fail),
            (Some(NO_SUCH_ROW), Action::Answer),
            (Some(NO_SUCH_ROW_THEN), Action::Fail),
        ] {
            let failure = Failure { cause: Cause::Timeout, at_hand };
            let turn = after(phase, Event::LoadFailed(failure));
            assert_eq!(turn, (Phase::Done, expected), "{at_hand:?}");
        }
    }
}

#[test]
fn however_a_fill_ends_the_loaded_value_is_answered() {
    for event in [Event::Filled, Event::FillRejected, Event::StoreUnavailable] {
        assert_eq!(after(Phase::Filling, event), (Phase::Done, Action::Answer));
    }
}

#[test]
fn a_load_without_a_lease_is_answered_and_not_filled() {
    let turn = after(Phase::LoadingUncached, Event::Loaded(REPORT));
    assert_eq!(turn, (Phase::Done, Action::Answer));
}

#[test]
fn a_refresh_claims_loads_and_fills() {
    assert_eq!(found(Phase::Refreshing, STALE), (Phase::RefreshClaiming, Action::Claim(1_000)));
    assert_eq!(
        after(Phase::RefreshClaiming, Event::LeaseGranted),
        (Phase::RefreshLoading, Action::Load)
    );
    let (phase, action) = after(Phase::RefreshLoading, Event::Loaded(REPORT));
    assert_eq!(phase, Phase::RefreshFilling);
    assert!(matches!(action, Action::Fill(Lifetime { stale_ms: 3_600_000, .. })));
    assert_eq!(after(Phase::RefreshFilling, Event::Filled), (Phase::Done, Action::Answer));
}

#[test]
fn a_refresh_leaves_it_to_whoever_is_at_it_already() {
    for event in [Event::LeaseHeld(700), Event::Found(FRESH), Event::StoreUnavailable] {
        assert_eq!(after(Phase::RefreshClaiming, event), (Phase::Done, Action::Answer));
    }
    let failure = Failure { cause: Cause::Unavailable, at_hand: Some(STALE) };
    let turn = after(Phase::RefreshLoading, Event::LoadFailed(failure));
    assert_eq!(turn, (Phase::Done, Action::Fail));
}

#[test]
fn a_refresh_begins_with_a_clean_memo_and_the_same_terms() {
    let memo = Memo { since_ms: 40, terms: 7, note: 9, ..at(Phase::Claiming) };
    let memo = Memo { phase: memo.phase | 2 << PHASE_BITS, ..memo };
    let turn = step(&TERMS, &TUNING, memo, moment(), Event::Found(STALE));
    assert_eq!(turn.memo, Memo { since_ms: 0, terms: 7, note: 9, ..at(Phase::Refreshing) });
}

#[test]
fn an_event_out_of_place_ends_in_an_answer_that_nobody_stored() {
    let uncached = (Phase::LoadingUncached, Action::LoadUncached);
    assert_eq!(after(Phase::Looking, Event::LeaseGranted), uncached);
    assert_eq!(after(Phase::Filling, Event::Waited), uncached);
    assert_eq!(after(Phase::Done, Event::Absent), uncached);
    assert_eq!(after(Phase::Looking, Event::Loaded(REPORT)), (Phase::Done, Action::Answer));
    let unknown = Memo { phase: Phase::ALL.len() as u32, ..at(Phase::Looking) };
    let turn = step(&TERMS, &TUNING, unknown, moment(), Event::LeaseGranted);
    assert_eq!(turn.action, Action::LoadUncached);
}

#[test]
fn the_list_of_phases_is_complete() {
    for (index, phase) in (0..).zip(Phase::ALL) {
        assert_eq!(phase as u32, index);
        assert_eq!(Phase::of(Memo { phase: index, ..begin(0, 0) }), Some(phase));
    }
    let beyond = Memo { phase: Phase::Done as u32 + 1, ..begin(0, 0) };
    assert_eq!(Phase::of(beyond), None);
}

fn after(phase: Phase, event: Event) -> (Phase, Action) {
    let turn = step(&TERMS, &TUNING, at(phase), moment(), event);
    assert_eq!(turn.memo.terms, at(phase).terms);
    (Phase::of(turn.memo).unwrap(), turn.action)
}

fn found(phase: Phase, seen: Sighting) -> (Phase, Action) {
    after(phase, Event::Found(seen))
}

fn at(phase: Phase) -> Memo {
    Memo { phase: phase as u32, ..begin(3, 9) }
}

fn moment() -> Moment {
    Moment { elapsed_ms: 5, left_ms: 2_000, entropy: 0x5EED }
}
