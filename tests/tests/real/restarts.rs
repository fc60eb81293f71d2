//! Redis comes back with older data.

use corral_tests::scenario::real::restarts::{From, run};

use super::common::beside_others;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_after_redis_came_back_from_its_snapshot() {
    let _turn = beside_others().await;
    run(From::Snapshot, 1).await.unwrap().expect().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_after_redis_came_back_without_the_last_second_of_its_log() {
    let _turn = beside_others().await;
    run(From::Log, 1).await.unwrap().expect().unwrap();
}
