//! Redis is emptied by hand.

use corral_tests::scenario::real::flushed::run;

use super::common::beside_others;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_on_hosts_of_two_configurations_after_a_flush_by_hand() {
    let _turn = beside_others().await;
    run(6).await.unwrap().expect().unwrap();
}
