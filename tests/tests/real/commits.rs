//! Commits whose writer does not learn the outcome.

use std::time::Duration;

use corral_tests::scenario::real::commits::{break_all, hang};

use super::common::beside_others;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_hangs_for_eight_seconds_is_seen_soon_after_it_is_shown() {
    let _turn = beside_others().await;
    hang(Duration::from_secs(8)).await.unwrap().expect().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_of_which_a_pooler_tells_a_failure_is_seen_if_it_was_carried_out() {
    let _turn = beside_others().await;
    break_all().await.unwrap().expect().unwrap();
}
