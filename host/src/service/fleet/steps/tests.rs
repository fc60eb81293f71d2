//! The rules one by one, and then all of them on hosts that die, join, freeze, refuse and fail by chance.

use super::super::record::FleetPolicy;
use super::*;
use crate::store::FleetCard;
use PartProgress::{Back, Failed, InForce, Preparing, Ready, Refused};

mod chance;

const NOW_MS: u64 = 1_000_000;

/// As a host sees it that has looked all the time.
fn due(rollout: &Rollout, cards: &[HostCard], now_ms: u64) -> Option<NextStep> {
    next(rollout, cards, now_ms, 0)
}

fn rollout(phase: RolloutPhase) -> Rollout {
    let brings = FleetPolicy { rollout: "r".to_owned(), ..FleetPolicy::default() };
    Rollout { brings, phase, began_ms: NOW_MS, since_ms: NOW_MS, ..Rollout::default() }
}

fn canary(percent: u8) -> Rollout {
    let canaries = vec!["a".to_owned()];
    let phase = RolloutPhase::Canary;
    Rollout { canary_percent: Some(percent), canaries, watch_ms: 60_000, ..rollout(phase) }
}

fn card(id: &str, progress: PartProgress) -> HostCard {
    let part = RolloutPart { rollout: "r".to_owned(), progress, ..RolloutPart::default() };
    let listen = format!("{id}:7070");
    let fleet = FleetCard { seen_ms: NOW_MS, listen, part: Some(part), ..FleetCard::default() };
    HostCard { id: id.to_owned(), fleet: Some(fleet), ..HostCard::default() }
}

fn with(mut card: HostCard, change: impl FnOnce(&mut RolloutPart)) -> HostCard {
    change(card.fleet.as_mut().unwrap().part.as_mut().unwrap());
    card
}

fn goes_on(step: Option<NextStep>) -> Rollout {
    match step {
        Some(NextStep::GoesOn(rollout)) => rollout,
        other => panic!("{other:?}"),
    }
}

fn brought_back(step: Option<NextStep>) -> String {
    let rollout = goes_on(step);
    assert_eq!(rollout.phase, RolloutPhase::GoingBack);
    rollout.trouble
}

#[test]
fn nothing_comes_into_force_before_every_host_is_ready() {
    let rollout = rollout(RolloutPhase::Preparing);
    let mut cards = [card("a", Ready), card("b", Preparing)];
    assert_eq!(due(&rollout, &cards, NOW_MS), None);
    cards[1] = HostCard {
        fleet: Some(FleetCard { seen_ms: NOW_MS, ..FleetCard::default() }),
        ..card("b", Ready)
    };
    assert_eq!(due(&rollout, &cards, NOW_MS), None, "a host that has not seen the rollout");
    cards[1] = card("b", Ready);
    assert_eq!(goes_on(due(&rollout, &cards, NOW_MS)).phase, RolloutPhase::Everywhere);
    assert_eq!(due(&rollout, &[], NOW_MS), None, "no card at all");
}

#[test]
fn a_share_of_the_hosts_is_rounded_up() {
    let cards: Vec<HostCard> = ["e", "c", "a", "b", "d"].map(|id| card(id, Ready)).into();
    for (percent, expected) in [(1, 1), (20, 1), (21, 2), (50, 3), (100, 5)] {
        let rollout = Rollout { canary_percent: Some(percent), ..rollout(RolloutPhase::Preparing) };
        let next = goes_on(due(&rollout, &cards, NOW_MS));
        assert_eq!(
            (next.phase, next.canaries.len()),
            (RolloutPhase::Canary, expected),
            "{percent} %"
        );
    }
}

#[test]
fn canaries_are_watched_from_when_the_last_of_them_has_switched() {
    let cards = [card("a", InForce), card("b", Ready)];
    let steady = goes_on(due(&canary(10), &cards, NOW_MS + 1));
    assert_eq!((steady.phase, steady.steady_ms), (RolloutPhase::Canary, Some(NOW_MS + 1)));
    let present = |at_ms| {
        cards.clone().map(|mut card| {
            card.fleet.as_mut().unwrap().seen_ms = at_ms;
            card
        })
    };
    assert_eq!(due(&steady, &present(NOW_MS + 60_000), NOW_MS + 60_000), None);
    let after = NOW_MS + 60_001;
    assert_eq!(goes_on(due(&steady, &present(after), after)).phase, RolloutPhase::Everywhere);
    let mut joins = present(after).to_vec();
    joins.push(card("c", Preparing));
    joins[2].fleet.as_mut().unwrap().seen_ms = after;
    assert_eq!(due(&steady, &joins, after), None, "a host that has joined is not ready");
}

#[test]
fn it_has_come_through_once_it_was_in_force_everywhere_for_a_while() {
    let cards = [card("a", InForce), card("b", InForce)];
    let steady = goes_on(due(&rollout(RolloutPhase::Everywhere), &cards, NOW_MS + 5));
    assert_eq!(steady.everywhere_ms, Some(NOW_MS + 5));
    assert_eq!(due(&steady, &cards, NOW_MS + SETTLE_MS), None);
    let over = due(&steady, &cards, NOW_MS + 5 + SETTLE_MS);
    let Some(NextStep::Over(past)) = over else { panic!("{over:?}") };
    assert!(past.in_force && past.trouble.is_empty());
    assert_eq!((past.everywhere_after_ms, past.ended_after_ms), (Some(5), 5 + SETTLE_MS));
}

#[test]
fn a_host_that_refuses_or_loses_the_policy_brings_all_back() {
    for (progress, words) in
        [(Refused, "b:7070 refuses the policy: r"), (Failed, "b:7070 has lost the policy: r")]
    {
        let bad = with(card("b", progress), |part| part.reason = "r".to_owned());
        for rollout in
            [rollout(RolloutPhase::Preparing), canary(10), rollout(RolloutPhase::Everywhere)]
        {
            let trouble = brought_back(due(&rollout, &[card("a", InForce), bad.clone()], NOW_MS));
            assert!(trouble.contains(words), "{trouble}");
        }
    }
}

#[test]
fn failures_of_all_hosts_add_up() {
    let failing = |id, failures| with(card(id, InForce), |part| part.failures = failures);
    let few = [failing("a", 2), failing("b", FAILURES - 3)];
    assert_eq!(
        goes_on(due(&rollout(RolloutPhase::Everywhere), &few, NOW_MS)).phase,
        RolloutPhase::Everywhere
    );
    let many = [failing("a", 2), failing("b", FAILURES - 2)];
    let trouble = brought_back(due(&rollout(RolloutPhase::Everywhere), &many, NOW_MS));
    assert!(trouble.contains("failed 5 times"), "{trouble}");
}

#[test]
fn a_canary_that_leaves_the_band_of_the_others_brings_all_back() {
    let usual = ReadTally { reads: 2_000, hits: 1_900, took_us: 2_000_000 };
    let judged = |tally: ReadTally, renames| {
        let mut rollout = canary(10);
        rollout.brings.renames = renames;
        let cards = [
            with(card("a", InForce), |part| part.tally = tally),
            with(card("b", Ready), |part| part.tally = usual),
        ];
        goes_on(due(&rollout, &cards, NOW_MS)).trouble
    };
    assert_eq!(judged(usual, false), "");
    assert_eq!(judged(ReadTally { hits: 1_750, ..usual }, false), "");
    assert!(
        judged(ReadTally { hits: 1_600, ..usual }, false).contains("80 % hits, they have 95 %")
    );
    assert!(judged(ReadTally { took_us: 9_000_000, ..usual }, false).contains("4.5 ms a read"));
    let foretold = ReadTally { hits: 0, took_us: 90_000_000, ..usual };
    assert_eq!(judged(foretold, true), "", "the gate has foretold it");
    assert_eq!(judged(ReadTally { reads: 999, hits: 0, took_us: 0 }, false), "", "too few reads");
}

#[test]
fn a_host_that_says_nothing_is_not_waited_for() {
    let rollout = rollout(RolloutPhase::Preparing);
    let cards = |now_ms| {
        let mut alive = card("a", Ready);
        alive.fleet.as_mut().unwrap().seen_ms = now_ms;
        [alive, card("b", Preparing)]
    };
    let last = NOW_MS + ABSENT_MS;
    assert_eq!(due(&rollout, &cards(last), last), None);
    assert_eq!(goes_on(due(&rollout, &cards(last + 1), last + 1)).phase, RolloutPhase::Everywhere);
    let lost = brought_back(due(&canary(10), &[card("b", Ready)], NOW_MS));
    assert!(lost.contains("no host is left"), "{lost}");
}

#[test]
fn a_host_that_has_just_begun_to_look_takes_no_host_for_silent() {
    let rollout = rollout(RolloutPhase::Preparing);
    let now_ms = NOW_MS + 3 * ABSENT_MS;
    let mut cards = [card("a", Ready), card("b", Preparing)];
    cards[0].fleet.as_mut().unwrap().seen_ms = now_ms;
    assert_eq!(next(&rollout, &cards, now_ms, now_ms - ABSENT_MS), None);
    assert!(next(&rollout, &cards, now_ms, now_ms - ABSENT_MS - 1).is_some());
}

#[test]
fn a_host_that_does_not_do_its_part_brings_all_back() {
    let late = NOW_MS + PATIENCE_MS + 1 + SETTLE_MS;
    let cards = ["a", "b"].map(|id| {
        let mut card = card(id, if id == "a" { Ready } else { Preparing });
        card.fleet.as_mut().unwrap().seen_ms = late;
        card
    });
    let trouble = brought_back(due(&rollout(RolloutPhase::Preparing), &cards, late));
    assert!(trouble.contains("b:7070 did not do its part"), "{trouble}");
}

#[test]
fn it_is_brought_back_once_it_is_in_force_nowhere() {
    let back = rollout(RolloutPhase::GoingBack);
    assert_eq!(due(&back, &[card("a", Back), card("b", InForce)], NOW_MS), None);
    let over = due(&back, &[card("a", Back), card("b", Failed)], NOW_MS);
    assert!(matches!(over, Some(NextStep::Over(PastRollout { in_force: false, .. }))), "{over:?}");
}
