//! One policy over five hosts under load, at a size that a run of all tests can afford. The command `scenario
//! fleet` plays it in full.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use corral_tests::scenario::fleet::{self, Size};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hosts_get_one_policy_whatever_happens_to_them_and_no_request_fails() {
    let size = Size { hosts: 5, rest: Duration::from_secs(1), canary_percent: 60 };
    let report = fleet::run(size, |_| {}).await.unwrap();
    println!("{report}");
    report.expect().unwrap();
}

/// Control: the judge of a retreat notices a policy that stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_costs_half_of_all_hits_stays_where_no_host_is_left_to_compare_it_with() {
    let judged = fleet::without_canaries().await.unwrap();
    assert!(judged.unwrap_err().to_string().contains("it came through"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_was_frozen_while_the_others_went_back_goes_back_too() {
    let (digests, before) = fleet::stopped().await.unwrap();
    assert_eq!(digests, [before.clone(), before]);
}
