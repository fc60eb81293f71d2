//! The Prometheus text format, read.

use std::collections::BTreeMap;

use super::BenchError;

/// What one scrape said.
#[derive(Debug, Clone, Default)]
pub struct Scrape {
    samples: Vec<MetricSample>,
}

#[derive(Debug, Clone)]
struct MetricSample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Scrape {
    /// Reads the body of `GET /metrics`.
    ///
    /// # Errors
    /// A line is neither a comment nor a sample; the error shows it.
    pub fn parse(text: &str) -> Result<Self, BenchError> {
        let lines = text.lines().map(str::trim);
        let samples = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| {
                let wrong = || BenchError::Sample { line: line.to_owned() };
                MetricSample::parse(line).ok_or_else(wrong)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { samples })
    }

    /// The sum over all labels; 0 for a metric that nothing has counted yet.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        self.sum_where(name, &[])
    }

    /// The sum over the samples that carry all these labels.
    #[must_use]
    pub fn sum_where(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let carries = |sample: &&MetricSample| {
            labels
                .iter()
                .all(|(label, value)| sample.labels.get(*label).map(String::as_str) == Some(*value))
        };
        let named = self.samples.iter().filter(|sample| sample.name == name);
        // Not `sum()`: the sum of no floats is -0.
        named.filter(carries).fold(0.0, |sum, sample| sum + sample.value)
    }

    /// The names that occur.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.samples.iter().map(|sample| sample.name.as_str())
    }
}

impl MetricSample {
    /// `name{label="value",…} 1.5`, perhaps with a time stamp behind.
    fn parse(line: &str) -> Option<Self> {
        let end = line.find(['{', ' '])?;
        let (name, rest) = line.split_at(end);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => parse_labels(rest)?,
            None => (BTreeMap::new(), rest),
        };
        let value = rest.split_whitespace().next()?.parse().ok()?;
        Some(Self { name: name.to_owned(), labels, value })
    }
}

/// Reads up to and including the closing brace; returns what follows it.
fn parse_labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once("=\"")?;
        let (value, after) = parse_quoted(after)?;
        labels.insert(name.to_owned(), value);
        rest = after;
    }
}

/// Reads up to and including the closing quote; returns what follows it.
fn parse_quoted(rest: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &rest[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
# HELP corral_reads_total Reads.
# TYPE corral_reads_total counter
corral_reads_total{entity="a, b} \"c\"\\",outcome="hit"} 3
corral_reads_total{outcome="miss",entity="user.profile"} 4.5 1700000000000
corral_reads_total_more 100
corral_flights 7
"#;

    #[test]
    fn samples_are_summed_by_exact_name_and_by_labels() {
        let metrics = Scrape::parse(TEXT).unwrap();
        assert_eq!(metrics.sum("corral_reads_total"), 7.5);
        assert_eq!(metrics.sum("corral_flights"), 7.0);
        assert_eq!(metrics.sum("corral_reads"), 0.0);
        let sum = |label, value| metrics.sum_where("corral_reads_total", &[(label, value)]);
        assert_eq!(sum("outcome", "hit"), 3.0);
        assert_eq!(sum("entity", r#"a, b} "c"\"#), 3.0);
        assert_eq!(sum("entity", "user.profile"), 4.5);
        assert_eq!(sum("entity", "elsewhere"), 0.0);
        assert_eq!(metrics.names().count(), 4);
    }

    #[test]
    fn a_line_that_is_no_sample_is_an_error() {
        for line in ["<html>", "name{label=\"open} 1", "name{} x", "name"] {
            assert!(Scrape::parse(line).is_err(), "{line}");
        }
    }
}
