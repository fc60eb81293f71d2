//! Large values beside small ones.

use std::time::Duration;

use corral_tests::scenario::real::large::run;

use super::common::alone;

/// Wider than the bars of the command, since other work of the machine slows reads down.
const SLOWER: Duration = Duration::from_millis(40);
const MISSES_OF_A_THOUSAND: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_value_is_nobody_elses_trouble() {
    let _turn = alone().await;
    let report = run(Duration::from_secs(4)).await.unwrap();
    println!("{report:#?}");
    report.expect(SLOWER, MISSES_OF_A_THOUSAND).unwrap();
}
