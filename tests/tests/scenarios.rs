//! The scenarios over real servers, at a size that a run of all tests can afford; the command
//! `scenario` plays them in full.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use corral_tests::scenario::faults::Faults;
use corral_tests::scenario::swaps::Swaps;
use corral_tests::scenario::{deaths, lifetimes, rename};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_while_servers_and_hosts_fail() {
    let faults =
        Faults { requests: 1_500, every: Duration::from_millis(300), seed: rand::random() };
    let report = faults.run().await.unwrap();
    println!("{report:#?}");
    report.expect().unwrap();
    assert!(report.disturbances.len() > 3, "too few disturbances: {report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_host_committed_is_seen_soon() {
    let report = deaths::run(3, |_| {}).await.unwrap();
    println!("{report:?}");
    // The value lives for an hour; how soon exactly is for the command to say.
    let longest_ms = report.stale_ms.last().copied().unwrap();
    assert!(longest_ms < 10_000.0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_were_filled_together_expire_apart() {
    let spread = lifetimes::spread(1_000).await.unwrap();
    let counts: Vec<usize> = spread.histogram.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts.iter().sum::<usize>(), 1_000);
    // Ten seconds each, from 240 s to 360 s, less the time that filling took.
    let bounds = spread.histogram.iter().map(|(from, _)| *from);
    assert!(bounds.clone().min().unwrap() >= 200 && bounds.max().unwrap() <= 360, "{spread:?}");
    assert!(counts.len() >= 12, "{spread:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_lived_keys_leave_nothing_behind() {
    let churn = lifetimes::churn(4_000).await.unwrap();
    assert_eq!((churn.left, churn.immortal), (0, 0), "{churn:?}");
    assert!(churn.most_alive > 0 && churn.most_members > 0, "{churn:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_policies_in_turn_fail_no_request_and_neither_does_varnish() {
    let swaps = Swaps {
        swaps: 20,
        varnish_swaps: 2,
        few: 1,
        connections: 8,
        pause: Duration::ZERO,
        before: Duration::from_secs(1),
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

/// What lies under the old names was stored by others, and is no less untrue for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_stored_nothing_covers_the_old_names_all_the_same() {
    assert_eq!(rename::answered_under_old_names().await.unwrap(), Some(2));
}
