//! Which thing a request asks for.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::{Distribution as _, Zipf};

use super::BenchError;

/// Which things are asked for, by number, and how often each.
#[derive(Debug, Clone)]
pub enum Keys {
    /// Each of 1 to this, equally often.
    Uniform(u64),
    /// Each of 1 to `keys`, the first most often: thing `k` in proportion to `k` to the minus
    /// `exponent`.
    Zipf {
        /// How many things.
        keys: u64,
        /// 0 for no skew, about 1 for web traffic.
        exponent: f64,
    },
    /// As they were recorded, in order; again from the start when the load lasts longer.
    Trace(Arc<[u64]>),
}

impl Keys {
    /// The keys in words, for the report.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Uniform(keys) => format!("uniform over {keys} keys"),
            Self::Zipf { keys, exponent } => format!("zipf {exponent} over {keys} keys"),
            Self::Trace(accesses) => format!("a trace of {} accesses", accesses.len()),
        }
    }

    pub(super) fn check(&self) -> Result<(), BenchError> {
        let some = |keys| match keys {
            0 => Err(BenchError::Bounds { what: "keys", least: 1, most: u64::MAX }),
            _ => Ok(()),
        };
        match self {
            Self::Uniform(keys) => some(*keys),
            Self::Zipf { keys, exponent } => {
                some(*keys)?;
                zipf(*keys, *exponent).map(|_| ())
            }
            Self::Trace(accesses) if accesses.is_empty() => Err(BenchError::EmptyTrace),
            Self::Trace(_) => Ok(()),
        }
    }
}

fn zipf(keys: u64, exponent: f64) -> Result<Zipf<f64>, BenchError> {
    let wrong = || BenchError::Zipf { exponent };
    if !exponent.is_finite() {
        return Err(wrong());
    }
    Zipf::new(keys as f64, exponent).map_err(|_| wrong())
}

/// Draws things for one connection.
pub(super) struct Sampler {
    from: From,
    random: StdRng,
}

enum From {
    Uniform(u64),
    Zipf(Zipf<f64>),
    Trace(Arc<[u64]>),
}

impl Sampler {
    pub(super) fn new(keys: &Keys, seed: u64) -> Result<Self, BenchError> {
        let from = match keys {
            Keys::Uniform(keys) => From::Uniform(*keys),
            Keys::Zipf { keys, exponent } => From::Zipf(zipf(*keys, *exponent)?),
            Keys::Trace(accesses) => From::Trace(Arc::clone(accesses)),
        };
        Ok(Self { from, random: StdRng::seed_from_u64(seed) })
    }

    /// The thing that the request of this number, over all connections, asks for.
    pub(super) fn draw(&mut self, request: u64) -> u64 {
        match &self.from {
            From::Uniform(keys) => self.random.random_range(1..=*keys),
            From::Zipf(zipf) => zipf.sample(&mut self.random) as u64,
            From::Trace(accesses) => accesses[(request % accesses.len() as u64) as usize],
        }
    }

    /// Draws whether something happens that happens in this share of cases.
    pub(super) fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.random.random::<f64>() < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: u64 = 200_000;

    fn counts(keys: &Keys, kinds: usize) -> Vec<f64> {
        let mut sampler = Sampler::new(keys, 7).unwrap();
        let mut counts = vec![0.0; kinds];
        for request in 0..DRAWS {
            counts[sampler.draw(request) as usize - 1] += 1.0;
        }
        counts
    }

    /// Pearson's statistic over its degrees of freedom: about 1 where the counts are as expected.
    fn misfit(counts: &[f64], weight: impl Fn(f64) -> f64) -> f64 {
        let total: f64 = (1..=counts.len()).map(|rank| weight(rank as f64)).sum();
        let terms = counts.iter().zip(1..).map(|(count, rank)| {
            let expected = DRAWS as f64 * weight(f64::from(rank)) / total;
            (count - expected).powi(2) / expected
        });
        terms.sum::<f64>() / (counts.len() - 1) as f64
    }

    #[test]
    fn zipf_draws_each_rank_in_its_proportion() {
        for exponent in [0.0, 0.8, 1.0, 1.5] {
            let counts = counts(&Keys::Zipf { keys: 100, exponent }, 100);
            let misfit = misfit(&counts, |rank| rank.powf(-exponent));
            assert!(misfit < 1.6, "{exponent}: {misfit}");
        }
    }

    #[test]
    fn another_skew_than_asked_for_would_be_seen() {
        let counts = counts(&Keys::Zipf { keys: 100, exponent: 1.0 }, 100);
        assert!(misfit(&counts, |rank| rank.powf(-1.1)) > 10.0);
    }

    #[test]
    fn uniform_draws_everything_equally_often() {
        assert!(misfit(&counts(&Keys::Uniform(50), 50), |_| 1.0) < 1.8);
    }

    #[test]
    fn a_trace_is_asked_for_in_order_and_again() {
        let mut sampler = Sampler::new(&Keys::Trace(Arc::from([5, 5, 9])), 1).unwrap();
        let drawn: Vec<_> = (0..7).map(|request| sampler.draw(request)).collect();
        assert_eq!(drawn, [5, 5, 9, 5, 5, 9, 5]);
    }

    #[test]
    fn writes_come_in_their_share() {
        let mut sampler = Sampler::new(&Keys::Uniform(1), 3).unwrap();
        let writes = (0..DRAWS).filter(|_| sampler.happens(0.05)).count();
        assert!((0.047..0.053).contains(&(writes as f64 / DRAWS as f64)), "{writes}");
        assert!((0..1_000).all(|_| !sampler.happens(0.0) && sampler.happens(1.0)));
    }

    #[test]
    fn nothing_to_ask_for_is_refused() {
        let wrong = [
            Keys::Uniform(0),
            Keys::Zipf { keys: 0, exponent: 1.0 },
            Keys::Zipf { keys: 5, exponent: -1.0 },
            Keys::Zipf { keys: 5, exponent: f64::NAN },
            Keys::Trace(Arc::from([])),
        ];
        assert!(wrong.iter().all(|keys| keys.check().is_err()));
        assert!(Keys::Zipf { keys: 5, exponent: 0.0 }.check().is_ok());
    }
}
