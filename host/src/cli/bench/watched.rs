//! Processes that are watched while a load runs.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::bench::{BenchError, ResourceUsage, Soak};

/// How often memory is looked at: reading it costs the kernel a walk over the process.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The processes that `--pid` names.
pub(super) struct WatchedProcesses {
    pids: Vec<u32>,
}

/// What was seen of the watched processes.
pub(super) struct WatchedUsage {
    pub(super) cpu_seconds: f64,
    pub(super) memory: Soak,
}

/// A watch that has begun; `None` if no process was to be watched.
pub(super) struct ProcessWatch(Option<Begun>);

struct Begun {
    end: oneshot::Sender<()>,
    seen: JoinHandle<Result<WatchedUsage, BenchError>>,
}

impl WatchedProcesses {
    /// These processes and their children.
    pub(super) fn new(pids: Vec<u32>) -> Result<Self, BenchError> {
        // A process that does not run is reported before anything is sent.
        ResourceUsage::of_families(&pids)?;
        Ok(Self { pids })
    }

    pub(super) fn begin(self) -> Result<ProcessWatch, BenchError> {
        if self.pids.is_empty() {
            return Ok(ProcessWatch(None));
        }
        let before = ResourceUsage::of_families(&self.pids)?;
        let (end, mut ended) = oneshot::channel();
        let seen = tokio::spawn(async move {
            let mut memory = Soak::begin(before.memory_kib);
            let mut looks = interval(LOOK_EVERY);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            looks.reset();
            loop {
                let over = tokio::select! {
                    _over = &mut ended => true,
                    _look = looks.tick() => false,
                };
                let now = ResourceUsage::of_families(&self.pids)?;
                memory.see(now.memory_kib);
                if over {
                    let cpu_seconds = now.cpu_seconds - before.cpu_seconds;
                    return Ok(WatchedUsage { cpu_seconds, memory });
                }
            }
        });
        Ok(ProcessWatch(Some(Begun { end, seen })))
    }
}

impl ProcessWatch {
    /// `None` if no process was to be watched.
    pub(super) async fn end(self) -> anyhow::Result<Option<WatchedUsage>> {
        let Some(Begun { end, seen }) = self.0 else { return Ok(None) };
        // A watch that ended already has found that its process is gone; its error says so.
        let _gone = end.send(());
        Ok(Some(seen.await??))
    }
}
