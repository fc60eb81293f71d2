//! Hosts behind balancers that are replaced and get another configuration under load, at a size
//! that a run of all tests can afford. The command `scenario rolling` plays it in full.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used)]

use corral_tests::scenario::rolling::{Ending, Report, Rolling};
use corral_tests::servers::Balancer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_hosts_behind_haproxy_are_replaced_and_get_another_configuration() {
    rolled(Balancer::Haproxy, Ending::Drained).await.expect().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_behind_nginx_which_never_asks_whether_a_host_is_ready() {
    rolled(Balancer::Nginx, Ending::Drained).await.expect().unwrap();
}

/// Control: a balancer that asks hosts for their readiness needs time to notice a change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_fail_behind_haproxy_where_hosts_do_not_drain() {
    fails(&rolled(Balancer::Haproxy, Ending::Undrained).await);
}

/// Control: nginx does not hide an end that cuts requests off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_fail_behind_nginx_where_hosts_are_killed() {
    fails(&rolled(Balancer::Nginx, Ending::Killed).await);
}

async fn rolled(balancer: Balancer, ending: Ending) -> Report {
    // A host that does not drain ends sooner, so requests have to come more often to meet the end.
    let pause_ms = if ending == Ending::Drained { 25 } else { 2 };
    let rolling = Rolling { balancer, requests: 2_000, clients: 16, pause_ms, ending };
    rolling.run().await.unwrap()
}

fn fails(report: &Report) {
    assert!(!report.failed.is_empty() && report.expect().is_err(), "{report:#?}");
    report.expect_changes().unwrap();
}
