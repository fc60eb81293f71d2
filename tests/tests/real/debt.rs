//! What is owed to a Redis that is down.

use std::time::Duration;

use corral_tests::scenario::real::debt::run;

use super::common::alone;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_written_again_and_again_without_a_store_is_owed_once() {
    let _turn = alone().await;
    run(Duration::from_secs(4), 300).await.unwrap().expect().unwrap();
}
