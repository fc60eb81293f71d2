use serde_json::json;
use std::sync::Arc;

use super::*;
use crate::policy::testing::{builtin_over, builtin_with as with, read_of as read};
use crate::policy::{Argument, Entity, Terms as KeptTerms, Written};

const COST_MS: u32 = 10;

#[test]
fn what_outlives_the_trace_is_loaded_once_each() {
    let policy = with(json!({}));
    let prediction = play(&*policy, &[1, 2, 1, 1, 3, 2, 1], 10.0, 0.0);
    assert_eq!((prediction.reads, prediction.distinct, prediction.loads), (7, 3, 3));
    assert_eq!((prediction.hits, prediction.collapsed, prediction.undecided), (4, 0, 0));
    assert_eq!(prediction.hit_ratio, 4.0 / 7.0);
    assert_eq!(prediction.seconds, 0.6);
}

#[test]
fn who_comes_during_a_load_shares_it() {
    // Accesses at 0, 5, 10 and 15 ms: the second one comes 5 ms after the first.
    let prediction = play(&*with(json!({})), &[1, 1, 1, 1], 200.0, 0.0);
    assert_eq!((prediction.loads, prediction.collapsed, prediction.hits), (1, 1, 2));
}

#[test]
fn an_expired_value_is_loaded_again() {
    let short = settled(1_000, 0);
    // One read every 600 ms: of each two reads after the first one, one is a hit.
    let prediction = play(&*short, &[1; 9], 1.0 / 0.6, 0.0);
    assert_eq!((prediction.loads, prediction.hits), (5, 4));
}

#[test]
fn a_stale_value_is_answered_and_refreshed() {
    let stale = settled(1_000, 10_000);
    let prediction = play(&*stale, &[1; 9], 1.0 / 1.5, 0.0);
    assert_eq!((prediction.hits, prediction.stale_hits), (8, 8));
    assert_eq!((prediction.loads, prediction.refreshes), (9, 8));
}

#[test]
fn an_early_refresh_costs_loads_and_no_misses() {
    let early = |early_refresh| {
        let settings = json!({"jitter": 0.0, "early_refresh": early_refresh});
        builtin_over(settings, |item| kept(item, 1_000, 0))
    };
    let [without, with] =
        [0.0, 1.0].map(|early_refresh| play(&*early(early_refresh), &[1; 1_000], 100.0, 0.0));
    assert_eq!((without.refreshes, with.hits), (0, 999));
    assert!(without.hits < 995, "{without:?}");
    assert!(with.refreshes >= 9 && with.loads == with.refreshes + 1, "{with:?}");
}

#[test]
fn a_write_removes_the_value_and_whoever_reads_next_loads() {
    let policy = with(json!({}));
    let prediction = play(&*policy, &[1; 2_000], 1.0, 0.25);
    assert!((400..600).contains(&prediction.writes), "{prediction:?}");
    // At a lifetime of a minute at least, one load for every run of reads between two writes.
    assert!(prediction.loads > 300 && prediction.loads <= prediction.writes + 40, "{prediction:?}");
}

#[test]
fn a_policy_that_touches_nothing_predicts_fewer_loads_under_writes() {
    let deaf = builtin_over(json!({}), |item| item.writes[0].touches.clear());
    let [hears, deaf] =
        [with(json!({})), deaf].map(|policy| play(&*policy, &[1; 2_000], 10.0, 0.25));
    assert!(deaf.loads * 10 < hears.loads, "{deaf:?} {hears:?}");
}

#[test]
fn a_policy_that_asks_for_what_the_guard_refuses_is_played_by_the_hosts_own_rule() {
    let short = Duration::from_secs(1);
    let policy = with(json!({}));
    let kept_too_long = play_within(&*policy, &[1; 10], 10.0, 0.0, short);
    // A lifetime of a minute is refused where a second is allowed: the value is loaded and answered
    // each time, and never stored.
    assert_eq!((kept_too_long.hits, kept_too_long.loads), (0, 10), "{kept_too_long:?}");
    assert_eq!(kept_too_long.undecided, 9, "the last load has not ended");
}

/// The built-in policy without jitter and early refresh, so that times are known.
fn settled(ttl_ms: u32, stale_while_revalidate_ms: u32) -> Arc<dyn Decider> {
    let settings = json!({"jitter": 0.0, "early_refresh": 0.0});
    builtin_over(settings, |item| kept(item, ttl_ms, stale_while_revalidate_ms))
}

fn kept(item: &mut Entity, ttl_ms: u32, stale_while_revalidate_ms: u32) {
    item.terms = KeptTerms { ttl_ms, stale_while_revalidate_ms, ..item.terms };
}

fn play(policy: &dyn Decider, accesses: &[u32], rate: f64, writes: f64) -> Prediction {
    play_within(policy, accesses, rate, writes, Duration::from_secs(600))
}

fn play_within(
    policy: &dyn Decider,
    accesses: &[u32],
    rate: f64,
    writes: f64,
    kept_at_most: Duration,
) -> Prediction {
    let terms = TraceTerms {
        rate,
        writes,
        costs_ms: &[COST_MS],
        deadline_ms: 2_000,
        kept_at_most,
        read: &|thing| read("item", Some(&thing.to_string())),
        write: &|thing| {
            let id = Argument { name: "id".to_owned(), value: Some(thing.to_string()) };
            let (entity, write) = ("item".to_owned(), "rename".to_owned());
            let (arguments, rows) = (vec![id], Vec::new());
            Some(Change::Written(Written { entity, write, arguments, rows }))
        },
    };
    predict(policy, accesses, &terms)
}
