//! An entity's statement changes on one host after the other.

use std::time::Duration;

use corral_tests::scenario::real::rolling::run;

use super::common::beside_others;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_configurations_stand_side_by_side_and_neither_answers_by_the_other() {
    let _turn = beside_others().await;
    run(Duration::from_millis(500)).await.unwrap().expect().unwrap();
}
