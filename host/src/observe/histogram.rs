//! Times, counted into buckets where they arise: two atomic additions, and nothing to aggregate
//! later.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often something took how long.
#[derive(Debug)]
pub struct Histogram {
    /// The longest time of each bucket, in ns, ascending; one more bucket has what is longer.
    bounds: &'static [u64],
    counts: Box<[AtomicU64]>,
    sum_ns: AtomicU64,
}

impl Histogram {
    /// An empty histogram with buckets up to these times in ns, ascending.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum_ns: AtomicU64::new(0) }
    }

    /// Counts a time that was measured.
    pub fn record(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = self.bounds.partition_point(|bound| *bound < ns);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// How many times were counted so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// How long all of them took together, in µs.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_ns.load(Ordering::Relaxed) / 1_000
    }

    /// Its lines in Prometheus' text; `labels` is `name="value"`, with commas between.
    pub(super) fn render(&self, name: &str, labels: &str, text: &mut String) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut count = 0;
        for (at, bucket) in self.counts.iter().enumerate() {
            count += bucket.load(Ordering::Relaxed);
            let bound = self.bounds.get(at).map_or_else(|| "+Inf".to_owned(), |ns| seconds(*ns));
            // Writing to a string can't fail.
            let _infallible =
                writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}");
        }
        let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let sum = seconds(self.sum_ns.load(Ordering::Relaxed));
        let _infallible = writeln!(text, "{name}_sum{braces} {sum}\n{name}_count{braces} {count}");
    }
}

/// Nanoseconds as seconds, exactly: a nanosecond is nine digits after the point.
fn seconds(ns: u64) -> String {
    let text = format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_in_its_bucket_and_in_all_above() {
        let histogram = Histogram::new(&[50_000, 1_000_000]);
        for ns in [0, 50_000, 50_001, 1_000_001, 3_000_000_000] {
            histogram.record(Duration::from_nanos(ns));
        }
        let mut text = String::new();
        histogram.render("t", "a=\"b\"", &mut text);
        let expected = [
            "t_bucket{a=\"b\",le=\"0.00005\"} 2",
            "t_bucket{a=\"b\",le=\"0.001\"} 3",
            "t_bucket{a=\"b\",le=\"+Inf\"} 5",
            "t_sum{a=\"b\"} 3.001100002",
            "t_count{a=\"b\"} 5",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        assert_eq!(histogram.count(), 5);
    }

    #[test]
    fn without_labels_there_are_no_empty_braces() {
        let (histogram, mut text) = (Histogram::new(&[]), String::new());
        histogram.render("t", "", &mut text);
        assert_eq!(text, "t_bucket{le=\"+Inf\"} 0\nt_sum 0\nt_count 0\n");
    }
}
