//! Sentinels put a replica in the place of the primary, or lose their majority.

use corral_tests::scenario::real::sentinels::{Change, run, run_without_sentinels};

use super::common::beside_others;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_from_a_replica_that_sentinels_promoted() {
    holds(Change::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_after_a_failover_that_was_ordered() {
    holds(Change::Ordered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_from_a_primary_that_sentinels_have_replaced() {
    holds(Change::Frozen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_reaches_no_sentinel_uses_the_store_no_more() {
    holds(Change::CutOff).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_is_not_used_without_a_majority_of_sentinels() {
    holds(Change::NoMajority).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_from_a_name_that_leads_to_older_data() {
    holds(Change::Renamed).await;
}

/// The control: without sentinels, the same failover is noticed as stale reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_asks_no_sentinel_reads_from_the_old_primary() {
    let _turn = beside_others().await;
    let verdict = run_without_sentinels().await.unwrap();
    assert!(verdict.stale > 0, "{verdict:#?}");
}

async fn holds(change: Change) {
    let _turn = beside_others().await;
    let report = run(change).await.unwrap();
    println!("{report:#?}");
    report.expect().unwrap();
}
