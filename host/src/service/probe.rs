//! The probe: whether the origin answers. It is asked once for all requests of a moment, so that
//! clients of `/readyz` can't keep the database busy.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::origin::Origin;

/// How long the origin may take: `/readyz` waits for the answer, and an origin that needs longer is
/// not well.
const BUDGET: Duration = Duration::from_secs(1);

/// How long an answer counts: less than the time between two checks of a load balancer.
const GOOD_FOR: Duration = Duration::from_millis(500);

/// The last answer. Requests that come while an answer is awaited share it.
#[derive(Default)]
pub(super) struct Probe {
    last: Mutex<Option<(Instant, bool)>>,
}

impl Probe {
    pub(super) async fn answers(&self, origin: &dyn Origin) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, answered)) = *last
            && at.elapsed() < GOOD_FOR
        {
            return answered;
        }
        let answered = matches!(timeout(BUDGET, origin.ping()).await, Ok(Ok(())));
        *last = Some((Instant::now(), answered));
        answered
    }
}
