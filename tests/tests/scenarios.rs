//! The scenarios over real servers, at a size that a run of all tests can afford. The command
//! `scenario` plays them in full.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use anyhow::Context as _;
use corral_tests::scenario::faults::{Faults, Report};
use corral_tests::scenario::idlers::Idlers;
use corral_tests::scenario::loads::{EXACT, Loads};
use corral_tests::scenario::pooler::Pooling;
use corral_tests::scenario::report::{self, Reading};
use corral_tests::scenario::swaps::Swaps;
use corral_tests::scenario::{deaths, lifetimes, predict, rename};
use corral_tests::trace::{Trace, beside_the_project, synthetic, tell_of_absence};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_while_servers_and_hosts_fail() {
    let report = with_faults(Duration::ZERO).await;
    println!("{report:#?}");
    assert_eq!(report.near, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn near_caches_are_behind_by_no_more_than_they_may_while_servers_and_hosts_fail() {
    let report = with_faults(Duration::from_secs(1)).await;
    println!("{report:#?}");
    assert!(report.near > 0, "{report:?}");
}

async fn with_faults(near: Duration) -> Report {
    let (every, seed) = (Duration::from_millis(300), rand::random());
    let report = Faults { requests: 1_500, every, seed, near }.run().await.unwrap();
    let again = "`scenario faults --requests 1500 --every-ms 300` draws the same with `--seed";
    report.expect().with_context(|| format!("{again} {seed}`")).unwrap();
    assert!(report.disturbances.len() > 3, "too few disturbances: {report:?}");
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_nothing_or_takes_nothing_is_cut_off_while_others_read() {
    let idlers = Idlers {
        silent: 150,
        half: 150,
        never: 40,
        good: 4,
        before: Duration::from_millis(500),
        max_connections: 250,
        within: Duration::from_secs(100),
    };
    let report = idlers.run().await.unwrap();
    println!("{report}");
    assert!(report.holds(), "{report:?}");
    // Four hundred megabytes are asked for, and there are fewer places than connections.
    let [before, most, _] = report.memory_mib;
    assert!(most < before + 400.0, "{report:?}");
    assert!(report.files[1] < report.files[0] + 250, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_host_committed_is_seen_soon() {
    let report = deaths::run(3, |_| {}).await.unwrap();
    println!("{report:?}");
    // The value lives for an hour; the exact time is for the command to measure.
    let longest_ms = report.stale_ms.last().copied().unwrap();
    assert!(longest_ms < 10_000.0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_fails_behind_a_pooler_while_tables_change() {
    let lasts = Duration::from_secs(3);
    let report = Pooling { rate: 200, lasts, clients: 16, lent: 4 }.run().await.unwrap();
    println!("{report:#?}");
    assert_eq!(report.failed.into_iter().collect::<Vec<_>>(), []);
    assert!(report.most_sessions <= 4 && report.changes > 0 && report.checks > 0);
    assert!(report.past_the_cache_per_second > 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_were_filled_together_expire_apart() {
    let spread = lifetimes::spread(1_000).await.unwrap();
    assert!(spread.holds(), "{spread:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_lived_keys_leave_nothing_behind() {
    let churn = lifetimes::churn(4_000).await.unwrap();
    assert!(churn.holds(), "{churn:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_policies_make_of_a_trace_is_what_was_predicted() {
    let trace = match beside_the_project() {
        Some(path) => Trace::read(&path).unwrap().limited(1_500),
        None => {
            tell_of_absence("predictions are compared over a generated trace");
            synthetic(1_500, 750, 1)
        }
    };
    let report = predict::run(&trace, 75.0).await.unwrap();
    println!("{report:#?}");
    assert!(report.holds(), "{report:#?}");
    // Control: the two policies differ by more than the tolerance, so each prediction is of the
    // right one.
    let [strict, lenient] = [&report.lines[0], &report.lines[1]].map(|line| line.real);
    assert!(lenient.hit_ratio - strict.hit_ratio > 2.0 * predict::TOLERANCE, "{report:#?}");
    assert!(strict.loads > lenient.loads, "{report:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_whose_entries_expire_costs_hardly_more_loads_than_it_must() {
    let loads = Loads { ttl: Duration::from_millis(500), rate: Some(2_000.0) };
    let report = loads.run(&synthetic(5_000, 500, 1), &[EXACT], |_| {}).await.unwrap();
    println!("{report:#?}");
    let line = &report.lines[0];
    assert_eq!((line.errors, line.wrong_answers), (0, 0), "{report:#?}");
    assert!(line.least > 2 * report.keys as u64, "little expired: {report:#?}");
    // The time that answers take lowers the bound, for a hot key by that time over the lifetime:
    // with so short a lifetime and other tests at the same time, by much. The command has the exact
    // bar.
    let late = line.p99_ms / report.ttl_ms as f64;
    assert!((0.0..0.1 + late).contains(&line.more), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_is_cached_costs_the_database_little() {
    let report = reading(Duration::from_secs(10)).await;
    assert!(report.share < 0.1, "{report:#?}");
    // Each report is loaded once, and perhaps once more by an early refresh.
    assert!((2..=4).contains(&report.loads), "{report:#?}");
}

/// Control: if the cache is of little use, the same measurement says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_is_hardly_kept_costs_the_database_much() {
    let report = reading(Duration::from_millis(10)).await;
    assert!(report.share > 0.1 && !report.holds(), "{report:#?}");
    assert!(report.loads > 20, "{report:#?}");
}

async fn reading(ttl: Duration) -> report::Report {
    let (lasts, rate) = (Duration::from_secs(2), 200.0);
    let reading = Reading { orders: 40_000, sections: 2, ttl, rate, lasts, direct: 50 };
    let report = reading.run(|_| {}).await.unwrap();
    assert_eq!((report.failed, report.wrong_answers), (0, 0), "{report:#?}");
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_policies_in_turn_fail_no_request_and_neither_does_varnish() {
    let swaps = Swaps {
        rounds: 2,
        swaps: 10,
        varnish_swaps: 1,
        few: 1,
        connections: 8,
        pause: Duration::from_millis(50),
    };
    let report = swaps.run(|_| {}).await.unwrap();
    println!("{report}");
    report.expect().unwrap();
    assert_eq!(report.corral.loaded.count, 20);
    assert_eq!(report.varnish.unwrap().failed, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_renames_every_key_makes_no_read_stale() {
    let report = rename::run(Duration::from_secs(2), |_| {}).await.unwrap();
    println!("{report}");
    report.expect().unwrap();
}

/// Values under the old names were stored by other hosts, and they are untrue all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_stored_nothing_covers_the_old_names_all_the_same() {
    assert_eq!(rename::answered_under_old_names().await.unwrap(), Some(2));
}
