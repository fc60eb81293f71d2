//! A cluster under load.

use corral_tests::scenario::real::cluster::{Struck, run};
use corral_tests::servers::Takeover;

use super::common::beside_others;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_when_a_primary_of_a_cluster_dies() {
    holds(Struck::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_when_a_replica_is_told_to_take_over() {
    holds(Struck::Ordered(Takeover::Agreed)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_when_a_replica_is_made_to_take_over() {
    holds(Struck::Ordered(Takeover::Forced)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_from_a_primary_that_was_frozen_while_another_took_over() {
    holds(Struck::Frozen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_while_slots_move_back_and_forth() {
    holds(Struck::SlotsMove).await;
}

async fn holds(struck: Struck) {
    let _turn = beside_others().await;
    let report = run(struck, 1).await.unwrap();
    println!("{report:#?}");
    report.expect().unwrap();
}
