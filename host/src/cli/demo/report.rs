//! The figures of a demo. Programs read them by name, so the names must stay.

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct DemoReport {
    pub(super) origin: &'static str,
    pub(super) store: &'static str,
    pub(super) policy: PolicyFigures,
    pub(super) cold_read_ms: f64,
    pub(super) warm_read_us: f64,
    pub(super) stampede: Stampede,
    pub(super) write: WriteFigures,
    pub(super) tag: TagFigures,
    pub(super) store_down: StoreDown,
    pub(super) swap: Swap,
}

#[derive(Debug, Serialize)]
pub(super) struct PolicyFigures {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) generation: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Stampede {
    pub(super) readers: u64,
    pub(super) loads: u64,
    pub(super) slowest_ms: f64,
    pub(super) load_ms: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct WriteFigures {
    pub(super) reads_after: u64,
    pub(super) stale_reads: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct TagFigures {
    pub(super) keys: u64,
    pub(super) left: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct StoreDown {
    pub(super) reads: u64,
    pub(super) failed: u64,
    pub(super) slowest_ms: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Swap {
    pub(super) swaps: u64,
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) slowest_activation_ms: f64,
}

impl DemoReport {
    /// The claims that did not hold, as sentences. Times are shown and not judged: they depend on
    /// the machine.
    pub(super) fn broken(&self) -> Vec<String> {
        let claims = [
            (self.stampede.loads == 1, format!("the stampede cost {} loads", self.stampede.loads)),
            (self.write.reads_after > 0, "no read followed a write".to_owned()),
            (self.write.stale_reads == 0, format!("{} reads were stale", self.write.stale_reads)),
            (self.tag.keys > 0, "no key carried the tag".to_owned()),
            (self.tag.left == 0, format!("{} keys outlived their tag", self.tag.left)),
            (self.store_down.reads > 0, "nothing was read without the store".to_owned()),
            (
                self.store_down.failed == 0,
                format!("{} reads failed without the store", self.store_down.failed),
            ),
            (self.swap.requests > self.swap.swaps, "too few reads during the swaps".to_owned()),
            (self.swap.failed == 0, format!("{} reads failed during a swap", self.swap.failed)),
        ];
        claims.into_iter().filter(|(holds, _)| !holds).map(|(_, broken)| broken).collect()
    }
}
