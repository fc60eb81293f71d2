//! A cluster under load.

use corral_tests::scenario::real::cluster::{Struck, run};
use corral_tests::servers::Failover;

use super::common::beside_others;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_when_a_primary_of_a_cluster_dies() {
    holds(Struck::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_when_a_replica_is_told_to_take_over() {
    holds(Struck::Ordered(Failover::Plain)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_when_a_replica_is_made_to_take_over() {
    holds(Struck::Ordered(Failover::Force)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_from_a_primary_that_was_frozen_while_another_took_over() {
    holds(Struck::Frozen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_while_slots_move_back_and_forth() {
    holds(Struck::SlotsMove).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_from_a_primary_that_is_cut_off_from_the_others() {
    holds(Struck::Divided).await;
}

async fn holds(struck: Struck) {
    let _turn = beside_others().await;
    let report = run(struck, 1).await.unwrap();
    println!("{report:#?}");
    report.expect().unwrap();
}
