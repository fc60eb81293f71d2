//! The cache under every fault, in virtual time; and a proof that the checker finds broken
//! promises.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::panic)]

use corral_tests::conformance::{self, model};
use corral_tests::sim::{Campaign, Churn, Protection, Scene, calm_pair, calm_store, find};
use tokio::runtime::{Builder, Runtime};

/// Schedules that a run of the tests adds to the fixed ones; their seeds are new in every run.
const SCHEDULES: u64 = 1_000;

/// If a protection is missing, a broken promise is found within so many schedules, mostly within a
/// few hundred.
const FOUND_WITHIN: u64 = 3_000;

/// A seed whose schedule breaks a promise without this protection, where the first one is far to
/// find. A seed that has lost this with a change of the code costs time only: all are tried then.
/// `corral-tests simulate --controls` prints them.
const FOUND_AT: [(&str, u64); 26] = [
    ("fill-compares-token", 99),
    ("release-compares-token", 0),
    ("unanswered-claims-are-given-back", 670),
    ("take-over-revokes", 2),
    ("index-before-load", 42),
    ("indexes-outlive-values", 311),
    ("mark-loads-again", 82),
    ("marks-outlive-loads", 82),
    ("pending-comes-first", 137),
    ("emptied-ranges-are-incomplete", 2),
    ("floors-of-namings", 399),
    ("near-drops-on-a-break", 29),
    ("near-looks-before-it-keeps", 308),
    ("intents-are-carried-out", 15),
    ("intents-are-announced-again", 283),
    ("store-clock", 4),
    ("steps-are-followed", 374),
    ("stamp-is-the-claims", 534),
    ("address-is-asked-again", 234),
    ("silent-replicas-count", 560),
    ("clock-counts-pauses", 3537),
    ("doubt-waits", 68),
    ("intent-carries-transaction", 673),
    ("walk-compares", 152),
    ("late-joiners-compare-stamps", 45),
    ("near-compares-stamps", 94),
];

#[test]
fn no_promise_is_broken() {
    let first: u64 = rand::random::<u64>() / 2;
    let campaign = Campaign { seeds: first..first + SCHEDULES, missing: None, threads: 2 };
    let tally = campaign.run(u64::MAX, |_| {});
    if let Some(found) = tally.found {
        let violations: Vec<_> = found.violations.iter().map(ToString::to_string).collect();
        panic!(
            "{}\nsee it with: corral-tests simulate --seed {}",
            violations.join("\n"),
            found.seed
        );
    }
    assert_eq!(tally.schedules, SCHEDULES);
    println!("{} requests, {} operations on the store", tally.requests, tally.store_operations);
}

#[test]
fn every_protection_is_missed_when_it_is_missing() {
    for (name, _) in FOUND_AT {
        assert!(Protection::all().iter().any(|protection| protection.name() == name), "{name}");
    }
    for protection in Protection::all() {
        let (race, name) = (protection.race(), protection.name());
        let known = FOUND_AT.iter().find(|(of, _)| *of == name);
        let found = known.and_then(|(_, seed)| find(*protection, *seed..*seed + 1));
        let found = found.or_else(|| find(*protection, 0..FOUND_WITHIN));
        let found = found.unwrap_or_else(|| panic!("race {race} stays hidden without {name}"));
        println!("{race} {name}: {} schedules, {}", found.schedules, found.violations[0]);
    }
}

#[test]
fn indexes_hold_what_lives_and_little_more() {
    let within = std::time::Duration::from_secs(72);
    let churned = Churn { keys: 20_000, within }.run();
    assert!(churned.most_alive > 200 && churned.most_members <= churned.bound, "{churned:?}");
    assert_eq!((churned.missing, churned.left), (0, 0), "{churned:?}");
}

#[test]
fn a_seed_is_a_run() {
    let run = |seed| {
        let outcome = Scene { seed, missing: None, detailed: true }.run();
        outcome.entries.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let first: u64 = rand::random::<u64>() / 2;
    for seed in first..first + 150 {
        assert!(run(seed) == run(seed), "two runs of seed {seed} differ");
    }
    assert_ne!(run(1), run(2));
}

#[test]
fn the_simulated_store_passes_the_suite() {
    let runtime = virtual_time();
    let checks = runtime.block_on(async {
        let store = calm_store(1);
        conformance::run_all(&*store, "t").await.unwrap()
    });
    assert_eq!(checks, conformance::CHECKS.len());
}

#[test]
fn the_simulated_store_tells_of_changes() {
    virtual_time().block_on(async {
        let (here, there) = calm_pair(1);
        conformance::run_tracking(&*here, &*there, "t").await.unwrap();
    });
}

#[test]
fn the_simulated_store_agrees_with_the_model_on_random_sequences() {
    let runtime = virtual_time();
    let store = runtime.block_on(async { calm_store(2) });
    model::compare(&runtime, &*store, "m", 3, 500).unwrap();
}

fn virtual_time() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}
