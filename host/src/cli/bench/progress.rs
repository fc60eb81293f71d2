//! What a person sees while a load runs.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::interval;

use crate::bench::{LoadPlan, LoadWatch};

/// How often the bar is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// Characters of the bar. A line that is wider than the terminal can't be drawn over.
const BAR: usize = 20;

/// Draws a bar on the terminal while `work` goes on; in a pipe there is none.
pub(super) async fn shown<T, E>(
    what: &'static str,
    plan: &LoadPlan,
    watch: &Arc<LoadWatch>,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    if !io::stderr().is_terminal() {
        return work.await;
    }
    let began = Instant::now();
    let drawing = async {
        let mut draws = interval(DRAW_EVERY);
        let mut last = (0, began);
        loop {
            draws.tick().await;
            let (taken, now) = (watch.taken(), Instant::now());
            let done = (began.elapsed().as_secs_f64() / plan.time.as_secs_f64())
                .max(taken as f64 / plan.requests as f64);
            let filled = (done.min(1.0) * BAR as f64) as usize;
            let per_second = (taken - last.0) as f64 / (now - last.1).as_secs_f64().max(1e-3);
            draw(&format!(
                "{what} {:░<BAR$} {taken} requests, {per_second:.0}/s, {} failed",
                "█".repeat(filled),
                watch.failed()
            ));
            last = (taken, now);
        }
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        () = drawing => return std::future::pending().await,
    };
    draw("");
    outcome
}

/// Replaces what was drawn before.
fn draw(line: &str) {
    const CLEAR: &str = "\r\u{1b}[2K";
    // If the terminal is gone, nothing needs to be drawn.
    let _gone = write!(io::stderr(), "{CLEAR}{line}").and_then(|()| io::stderr().flush());
}
