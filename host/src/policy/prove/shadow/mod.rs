//! A shadow: a candidate that is asked on live requests what the policy in force is asked, without
//! effect.
//!
//! ```text
//! a flight's turns, a change ──try──→ bounded queue ──→ a thread: asks, compares, counts
//! ```
//!
//! A request never waits for the shadow, nothing that the shadow answers is acted upon, and a full
//! queue, which is bounded in number and in bytes, loses comparisons instead of requests.

mod judge;
mod queue;
mod trail;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use serde::Serialize;

use crate::policy::prove::compare::Difference;
use crate::policy::prove::gate::Passed;
use crate::policy::run::generation::rfc3339;
use crate::policy::{Change, Decider, Generation, Named, Request};
use judge::Judge;
use queue::{QueuedCall, ShadowQueue, ShadowedCall};
pub(crate) use trail::Trail;

/// Traps after which a shadow ends itself: a policy that traps this often will not come into force.
const TRAPS_LIMIT: u64 = 16;

/// The shadow, if there is one.
#[derive(Default)]
pub struct Shadows {
    /// Whether there may be a shadow. If not, this is all that a request looks at.
    running: AtomicBool,
    shadow: ArcSwapOption<Shadow>,
}

struct Shadow {
    judge: Arc<Judge>,
    queue: ShadowQueue,
    running: Arc<AtomicBool>,
    /// Of 2^32 flights or changes, so many are compared.
    sample: u64,
    dropped: AtomicU64,
    name: String,
    version: String,
    digest: String,
    began: SystemTime,
}

/// What a shadow has found so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShadowReport {
    /// The candidate's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// When it was started, RFC 3339.
    #[serde(serialize_with = "rfc3339")]
    pub began: SystemTime,
    /// The share of flights and changes that it is asked.
    pub sample: f64,
    /// Whether it is still asked.
    pub running: bool,
    /// Why it ended itself; `None` if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Flights that were compared.
    pub flights: u64,
    /// Changes that were compared.
    pub changes: u64,
    /// Flights and changes that were not compared, since too many or too large ones were waiting.
    pub dropped: u64,
    /// Calls into the candidate.
    pub calls: u64,
    /// Calls of the candidate that gave no answer.
    pub traps: u64,
    /// What a call took on average.
    pub mean_call_us: f64,
    /// What the slowest took.
    pub slowest_call_us: f64,
    /// What was compared, by entity and aspect, with what differs.
    pub findings: Vec<Difference>,
}

impl Shadows {
    /// Starts a shadow in place of the one before.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start(&self, passed: Passed, sample: f64) -> io::Result<ShadowReport> {
        let report = passed.report().clone();
        let judge = Arc::new(Judge::new(Arc::clone(passed.pool()) as Arc<dyn Decider>));
        self.run(judge, sample, [report.name, report.version, report.digest])
    }

    fn run(&self, judge: Arc<Judge>, sample: f64, who: [String; 3]) -> io::Result<ShadowReport> {
        self.end();
        let (queue, asked) = ShadowQueue::new();
        let running = Arc::new(AtomicBool::new(true));
        listen(Arc::clone(&judge), asked, Arc::clone(&running))?;
        let [name, version, digest] = who;
        let shadow = Arc::new(Shadow {
            judge,
            queue,
            running,
            sample: (sample.clamp(0.0, 1.0) * (1_u64 << 32) as f64) as u64,
            dropped: AtomicU64::new(0),
            name,
            version,
            digest,
            began: SystemTime::now(),
        });
        let report = shadow.report();
        self.shadow.store(Some(shadow));
        self.running.store(true, Ordering::Release);
        Ok(report)
    }

    /// What the shadow has found; `None` if there is no shadow.
    #[must_use]
    pub fn report(&self) -> Option<ShadowReport> {
        self.shadow.load().as_ref().map(|shadow| shadow.report())
    }

    /// Ends the shadow and returns its last report; `None` if there was no shadow.
    pub fn end(&self) -> Option<ShadowReport> {
        self.running.store(false, Ordering::Release);
        let shadow = self.shadow.swap(None)?;
        let report = ShadowReport { running: false, ..shadow.report() };
        shadow.running.store(false, Ordering::Release);
        Some(report)
    }

    /// Follows a flight; `None` if no shadow runs or the sample leaves this flight out.
    pub(crate) fn follow(&self, flight: impl FnOnce() -> (Request, Arc<Named>)) -> Option<Trail> {
        let shadow = self.sampled()?;
        let (request, plan) = flight();
        Some(Trail::new(shadow, request, plan))
    }

    /// Gives the shadow a change that is about to be committed under this generation. `change` is
    /// called only if a shadow runs and the sample takes the change.
    pub(crate) fn changed(&self, change: impl FnOnce() -> Change, generation: &Arc<Generation>) {
        if let Some(shadow) = self.sampled() {
            shadow.ask(ShadowedCall::Change(change(), Arc::clone(generation)));
        }
    }

    fn sampled(&self) -> Option<Arc<Shadow>> {
        if !self.running.load(Ordering::Relaxed) {
            return None;
        }
        let shadow = self.shadow.load();
        let shadow = shadow.as_ref()?;
        let takes = shadow.running.load(Ordering::Relaxed)
            && u64::from(rand::random::<u32>()) < shadow.sample;
        takes.then(|| Arc::clone(shadow))
    }
}

impl Shadow {
    fn ask(&self, asked: ShadowedCall) {
        if !self.queue.push(asked) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn report(&self) -> ShadowReport {
        let tally = self.judge.tally();
        ShadowReport {
            name: self.name.clone(),
            version: self.version.clone(),
            digest: self.digest.clone(),
            began: self.began,
            sample: self.sample as f64 / (1_u64 << 32) as f64,
            running: self.running.load(Ordering::Acquire),
            dropped: self.dropped.load(Ordering::Relaxed),
            mean_call_us: tally.spent.as_secs_f64() * 1e6 / tally.calls.max(1) as f64,
            slowest_call_us: tally.slowest.as_secs_f64() * 1e6,
            ended: tally.ended,
            flights: tally.flights,
            changes: tally.changes,
            calls: tally.calls,
            traps: tally.traps,
            findings: tally.findings,
        }
    }
}

/// A thread of its own, which ends with the shadow: a call of an interpreter takes so long that it
/// would delay the requests on the same worker.
fn listen(
    judge: Arc<Judge>,
    asked: Receiver<QueuedCall>,
    running: Arc<AtomicBool>,
) -> io::Result<()> {
    let judging = move || {
        for asked in asked {
            if !running.load(Ordering::Acquire) {
                return;
            }
            match asked.call() {
                ShadowedCall::Flight(flown) => judge.flight(flown),
                ShadowedCall::Change(change, generation) => judge.change(change, generation),
            }
            if judge.gives_up() {
                running.store(false, Ordering::Release);
                tracing::warn!("the shadow policy trapped too often and has ended");
                return;
            }
        }
    };
    thread::Builder::new().name("corral-shadow".into()).spawn(judging).map(drop)
}

impl std::fmt::Debug for Shadows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shadows").field("running", &self.running).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
