//! An address behind which two servers answer in turn.

use std::time::Duration;

use corral_tests::scenario::real::balanced::run;

use super::common::beside_others;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_leads_to_two_servers_is_not_used_and_the_host_says_so() {
    let _turn = beside_others().await;
    run(Duration::from_secs(5)).await.unwrap().expect().unwrap();
}
