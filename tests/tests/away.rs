//! The origin is frozen, killed and out of connections. In a test process of its own: a full load
//! beside it would take the little time that a late load leaves its reader.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::Duration;

use corral_tests::scenario::origin;

/// The exact speed is for the command to measure; here it matters whether a reader waits for a
/// load.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_fails_and_few_wait_while_the_origin_is_away_and_writes_recover() {
    for blow in origin::Blow::ALL {
        let report = origin::run(blow, Duration::from_secs(3)).await.unwrap();
        println!("{report:#?}");
        let meanwhile = &report.reads[1];
        let waited = meanwhile.histogram.last().map_or(0, |(_, count)| *count);
        assert!(report.reads.iter().all(|phase| phase.failed == 0), "{report:#?}");
        // Two for each connection, and whenever a busy machine stands still, all of them once more.
        let few = (meanwhile.requests / 20).max(16);
        assert!(waited <= few && meanwhile.requests > 10 * waited, "{report:#?}");
        assert!(report.failed_writes[1] > 0, "{report:#?}");
        assert!((1..=8).contains(&report.said.len()), "{report:#?}");
    }
}
