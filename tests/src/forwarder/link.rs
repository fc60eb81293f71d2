//! A link of a bounded rate that connections share fairly.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// The most that one connection sends before the next connection has its turn: at 10 MB/s, 0.4 ms.
pub(super) const TURN_BYTES: usize = 4 << 10;

/// A timer wakes up to a millisecond late. What the link could have carried meanwhile is made up
/// for.
const CREDIT: Duration = Duration::from_millis(2);

/// One direction of a link.
#[derive(Clone)]
pub(super) struct Link {
    /// `None` if bytes go on as fast as they come.
    bytes_per_second: Option<u64>,
    /// When everything that was sent so far is through. The lock is granted in the order of the
    /// requests for it, so a connection with more to send asks again behind all others.
    free: Arc<Mutex<Instant>>,
}

impl Link {
    pub(super) fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second, free: Arc::new(Mutex::new(Instant::now())) }
    }

    /// Waits until so many bytes, [`TURN_BYTES`] at most, are through.
    pub(super) async fn carry(&self, bytes: usize) {
        let Some(rate) = self.bytes_per_second else { return };
        let mut free = self.free.lock().await;
        let now = Instant::now();
        let begin = (*free).max(now.checked_sub(CREDIT).unwrap_or(now));
        *free = begin + Duration::from_secs_f64(bytes as f64 / rate as f64);
        sleep_until(*free).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_link_carries_what_it_may_and_lets_everybody_have_a_turn() {
        let link = Link::new(Some(1_000_000));
        let began = Instant::now();
        let large = async {
            for _ in 0..250 {
                link.carry(4_000).await;
            }
            began.elapsed()
        };
        let small = async {
            link.carry(400).await;
            began.elapsed()
        };
        let (large, small) = tokio::join!(large, small);
        assert!(
            large >= Duration::from_millis(995) && large < Duration::from_millis(1_010),
            "{large:?}"
        );
        assert!(small < Duration::from_millis(10), "{small:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_without_a_rate_takes_no_time() {
        let began = Instant::now();
        Link::new(None).carry(usize::MAX).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
