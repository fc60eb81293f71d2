//! Counters and gauges, and their text for Prometheus (text format 0.0.4).
//!
//! A metric is declared once, with its name and its help. The code that counts holds a [`Counter`]
//! or a [`Gauge`], which is one atomic number.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A number that only grows.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds to it.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Raises it to a total that is counted elsewhere. Of two that report at the same time, the one
    /// with the older total changes nothing.
    pub fn raise_to(&self, total: u64) {
        self.0.fetch_max(total, Ordering::Relaxed);
    }
}

/// A number that rises and falls.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// One more.
    pub fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less.
    pub fn down(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Sets it to what it is now.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// Every metric that was declared.
#[derive(Default)]
pub(super) struct Registry {
    families: Vec<Arc<Family>>,
}

/// The metric of one name: a number for each set of labels.
pub(super) struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    members: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
}

impl Registry {
    /// Declares a counter with labels.
    pub(super) fn counters(&mut self, name: &'static str, help: &'static str) -> Arc<Family> {
        self.declare(name, "counter", help)
    }

    /// Declares a counter.
    pub(super) fn counter(&mut self, name: &'static str, help: &'static str) -> Counter {
        self.counters(name, help).counter(&[])
    }

    /// Declares a gauge.
    pub(super) fn gauge(&mut self, name: &'static str, help: &'static str) -> Gauge {
        Gauge(self.declare(name, "gauge", help).member(&[]))
    }

    fn declare(
        &mut self,
        name: &'static str,
        kind: &'static str,
        help: &'static str,
    ) -> Arc<Family> {
        let family = Arc::new(Family { name, kind, help, members: Mutex::default() });
        self.families.push(Arc::clone(&family));
        family
    }

    /// Appends the text of all families.
    pub(super) fn render(&self, text: &mut String) {
        self.families.iter().for_each(|family| family.render(text));
    }
}

impl Family {
    /// The counter with these labels.
    pub(super) fn counter(&self, labels: &[(&str, &str)]) -> Counter {
        Counter(self.member(labels))
    }

    fn member(&self, labels: &[(&str, &str)]) -> Arc<AtomicU64> {
        let pair = |(name, value): &(&str, &str)| format!("{name}=\"{}\"", escaped(value));
        let labels = labels.iter().map(pair).collect::<Vec<_>>().join(",");
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(members.entry(labels).or_default())
    }

    fn render(&self, text: &mut String) {
        head(text, self.name, self.kind, self.help);
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        for (labels, number) in &*members {
            let (name, number) = (self.name, number.load(Ordering::Relaxed));
            // Writing to a string can't fail.
            let _infallible = match labels.as_str() {
                "" => writeln!(text, "{name} {number}"),
                labels => writeln!(text, "{name}{{{labels}}} {number}"),
            };
        }
    }
}

/// A label's value, as the text format has it.
pub(super) fn escaped(value: &str) -> Cow<'_, str> {
    if !value.contains(['\\', '"', '\n']) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// Appends the lines of a metric's help and type.
pub(super) fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _infallible = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_keeps_its_value_within_its_quotes() {
        assert_eq!(escaped("a\\b\"c\nd"), "a\\\\b\\\"c\\nd");
        assert_eq!(escaped("user.profile"), "user.profile");
    }

    #[test]
    fn a_metric_is_its_help_its_type_and_a_line_for_each_set_of_labels() {
        let mut registry = Registry::default();
        let swaps = registry.counters("swaps_total", "Exchanges");
        swaps.counter(&[("result", "refused")]).add(2);
        swaps.counter(&[("result", "refused")]).add(1);
        swaps.counter(&[("result", "active"), ("by", "push")]).raise_to(7);
        let flights = registry.gauge("flights", "In progress");
        flights.up();
        flights.up();
        flights.down();
        let mut text = String::new();
        registry.render(&mut text);
        let expected = "# HELP swaps_total Exchanges\n# TYPE swaps_total counter\n\
                        swaps_total{result=\"active\",by=\"push\"} 7\n\
                        swaps_total{result=\"refused\"} 3\n\
                        # HELP flights In progress\n# TYPE flights gauge\nflights 1\n";
        assert_eq!(text, expected);
    }
}
