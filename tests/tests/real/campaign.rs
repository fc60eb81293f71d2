//! Crashes again and again under load.

use corral_tests::scenario::real::campaign::{Crash, run};

use super::common::beside_others;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_while_redis_crashes_and_comes_back_again_and_again() {
    let _turn = beside_others().await;
    let report = run(Crash::Restart, 5, rand::random()).await.unwrap();
    println!("{report:#?}");
    report.expect().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_while_redis_fails_over_again_and_again() {
    let _turn = beside_others().await;
    let report = run(Crash::Failover, 2, rand::random()).await.unwrap();
    println!("{report:#?}");
    report.expect().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_while_sentinels_fail_over_again_and_again() {
    let _turn = beside_others().await;
    let report = run(Crash::Supervised, 2, rand::random()).await.unwrap();
    println!("{report:#?}");
    report.expect().unwrap();
}
