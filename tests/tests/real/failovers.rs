//! A replica takes the place of its primary.

use corral_tests::scenario::real::failovers::{Primary, run};

use super::common::beside_others;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_from_a_replica_that_lagged() {
    holds(Primary::Dies).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_from_a_demoted_primary_over_a_connection_that_was_kept() {
    holds(Primary::IsDemoted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_while_the_old_primary_lives_on_for_some() {
    holds(Primary::LivesOn).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_by_a_host_that_is_cut_off_with_its_primary() {
    holds(Primary::IsCutOff).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_from_a_primary_that_was_frozen_over_the_failover() {
    holds(Primary::Freezes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_by_a_host_that_was_frozen_over_the_failover() {
    holds(Primary::LivesOnForAFrozenHost).await;
}

async fn holds(primary: Primary) {
    let _turn = beside_others().await;
    let report = run(primary).await.unwrap();
    println!("{report:#?}");
    report.expect().unwrap();
}
