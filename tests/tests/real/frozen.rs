//! Hosts and the store freeze and resume under load.

use corral_tests::scenario::real::frozen::{Frozen, run};

use super::common::beside_others;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_while_hosts_freeze_and_resume() {
    let _turn = beside_others().await;
    run(Frozen::Host, 4, rand::random()).await.unwrap().expect().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stale_is_read_while_the_store_freezes_and_resumes() {
    let _turn = beside_others().await;
    run(Frozen::Store, 4, rand::random()).await.unwrap().expect().unwrap();
}
