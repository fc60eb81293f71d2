//! One policy over five hosts under load, at a size that a run of all tests can afford. The command `scenario
//! fleet` plays it in full.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use corral_tests::scenario::fleet::{self, Size};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hosts_get_one_policy_whatever_happens_to_them_and_no_request_fails() {
    let rest = Duration::from_secs(1);
    let size = Size { hosts: 5, items: 60, rest, canary_percent: 60 };
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

/// Control: a host that fills under names which another host has not learned makes no read stale, since that
/// other host raises the floor of all that it can't name, and its writes wait until that is known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_a_host_has_not_learned_hold_up_its_writes_and_a_rollout_has_all_learn_them() {
    let [learned, unlearned] = fleet::without_learning().await.unwrap();
    // A floor that is raised counts once every host has had a second to learn it.
    let waits = Duration::from_secs(fleet::WRITES);
    assert!(unlearned >= waits && learned < waits, "{unlearned:?}, {learned:?} after a rollout");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_says_how_a_rollout_goes() {
    let (said, fleet) = fleet::commanded().await.unwrap();
    assert!(said.contains("preparing: 0 of 2 hosts ready"), "{said}");
    assert!(said.contains("in force on every host after"), "{said}");
    assert_eq!(fleet.matches("trusted").count(), 2, "{fleet}");
    assert!(fleet.contains("the fleet runs default@"), "{fleet}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_was_frozen_while_the_others_went_back_goes_back_too() {
    let (digests, before) = fleet::stopped().await.unwrap();
    assert_eq!(digests, [before.clone(), before]);
}
