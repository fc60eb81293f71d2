//! Bad policies, built for real, are refused or rolled back under load; the command `scenario
//! policies` tries them at full size.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::panic)]

use corral_tests::scenario::policies::{self, CASES};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bad_policy_fails_a_request_or_makes_one_stale() {
    let report = policies::run(CASES, |_| {}).await.unwrap();
    println!("{report}");
    report.expect().unwrap();
    assert!(report.lines.len() >= 12, "{report}");
}
