//! Load with exchanges compared with load without: the ratios, and how they spread.

use std::fmt;

use serde::Serialize;

use super::Throughput;

/// One round of both loads.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Round {
    /// The load without exchanges.
    pub without: Throughput,
    /// The load with exchanges, one after the other.
    pub with: Throughput,
}

/// One figure over several rounds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Round {
    /// The median bucket with exchanges over the one without.
    #[must_use]
    pub fn median_ratio(&self) -> f64 {
        ratio(self.with.median, self.without.median)
    }

    /// The same for the bucket that has one in a hundred below it.
    #[must_use]
    pub fn p1_ratio(&self) -> f64 {
        ratio(self.with.p1, self.without.p1)
    }
}

fn ratio(with: u32, without: u32) -> f64 {
    f64::from(with) / f64::from(without.max(1))
}

impl Spread {
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
        Self {
            median: at(values.len() / 2),
            least: at(0),
            most: at(values.len().saturating_sub(1)),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} ({:.3} to {:.3})", self.median, self.least, self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(median: u32, p1: u32) -> Throughput {
        Throughput { median, p1, ..Throughput::default() }
    }

    #[test]
    fn a_host_that_serves_half_as_much_while_exchanging_has_half_the_ratio() {
        let round = Round { without: through(1_000, 800), with: through(500, 200) };
        assert_eq!((round.median_ratio(), round.p1_ratio()), (0.5, 0.25));
    }

    #[test]
    fn the_median_of_five_is_none_of_the_outliers() {
        let spread = Spread::of([0.9, 0.1, 1.0, 3.0, 0.95].into_iter());
        assert_eq!((spread.median, spread.least, spread.most), (0.95, 0.1, 3.0));
    }
}
