//! What all reads of a host add up to.

use super::{Metrics, ReadOutcome};
use crate::store::ReadTally;

impl Metrics {
    /// The reads of all entities so far.
    #[must_use]
    pub fn read_totals(&self) -> ReadTally {
        let entities = self.entities.load();
        let all = entities.values().flat_map(|entity| ReadOutcome::ALL.map(|of| (entity, of)));
        all.fold(ReadTally::default(), |sum, (entity, outcome)| {
            let Some(times) = entity.reads.get(outcome as usize) else { return sum };
            let reads = times.count();
            let hits = if outcome.is_stored() { reads } else { 0 };
            sum.and(ReadTally { reads, hits, took_us: times.sum_us() })
        })
    }
}

impl ReadOutcome {
    /// Whether a stored value answered the read, and the policy wanted it so.
    fn is_stored(self) -> bool {
        match self {
            Self::Near | Self::Hit | Self::Stale => true,
            Self::StaleIfError | Self::Miss | Self::Bypass | Self::Error => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn reads_of_all_entities_and_outcomes_add_up() {
        let metrics = Metrics::new(["a", "b"]);
        metrics.entity("a").read(ReadOutcome::Hit, Duration::from_millis(1));
        metrics.entity("a").read(ReadOutcome::Near, Duration::from_millis(2));
        metrics.entity("b").read(ReadOutcome::Miss, Duration::from_millis(30));
        let totals = metrics.read_totals();
        assert_eq!(totals, ReadTally { reads: 3, hits: 2, took_us: 33_000 });
        assert!((totals.mean_ms() - 11.0).abs() < 1e-9);
    }
}
