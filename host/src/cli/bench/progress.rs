//! What a person sees while a load runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::interval;

use crate::bench::{Plan, Watch};

/// How often it is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// Draws a bar on the terminal while `work` goes on; in a pipe there is none.
pub(super) async fn shown<T, E>(
    what: &'static str,
    plan: &Plan,
    watch: &Arc<Watch>,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let bar = ProgressBar::new(1_000);
    // A template that indicatif would refuse leaves its own.
    if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:40} {msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(what);
    let began = Instant::now();
    let drawing = async {
        let mut draws = interval(DRAW_EVERY);
        let mut last = (0, began);
        loop {
            draws.tick().await;
            let (taken, now) = (watch.taken(), Instant::now());
            let done = (began.elapsed().as_secs_f64() / plan.time.as_secs_f64())
                .max(taken as f64 / plan.requests as f64);
            bar.set_position((done.min(1.0) * 1_000.0) as u64);
            let per_second = (taken - last.0) as f64 / (now - last.1).as_secs_f64().max(1e-3);
            bar.set_message(format!(
                "{taken} requests, {per_second:.0}/s, {} failed",
                watch.failed()
            ));
            last = (taken, now);
        }
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        () = drawing => return std::future::pending().await,
    };
    bar.finish_and_clear();
    outcome
}
