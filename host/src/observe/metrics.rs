//! Every metric that a host exposes, registered once: on the hot path a metric is an atomic add.
//!
//! Each host owns its registry, so that several can live in one process.

mod totals;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use arc_swap::ArcSwap;

use super::histogram::Histogram;
use super::registry::{Counter, Family, Gauge, Registry, escaped, head};

/// How a read ended, as the label `outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOutcome {
    /// A fresh value from the near cache.
    Near,
    /// A fresh value from the store.
    Hit,
    /// A stale value while a refresh runs.
    Stale,
    /// A stale value because the load failed.
    StaleIfError,
    /// Loaded under a lease, or found by waiting for another host's load.
    Miss,
    /// Loaded without a lease: the store is not there, or the request stopped waiting for one.
    Bypass,
    /// An error.
    Error,
}

impl ReadOutcome {
    const ALL: [Self; 7] = [
        Self::Near,
        Self::Hit,
        Self::Stale,
        Self::StaleIfError,
        Self::Miss,
        Self::Bypass,
        Self::Error,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::StaleIfError => "stale-if-error",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
            Self::Error => "error",
        }
    }
}

/// Why the origin was asked, as the label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadReason {
    /// Under a lease, for a request that waits.
    Miss,
    /// Under a lease, in the background.
    Refresh,
    /// A second time under one lease, because a tag of the row was invalidated meanwhile.
    Tag,
    /// Without a lease.
    Uncached,
    /// By a writer that fills what it wrote.
    WriteThrough,
}

impl LoadReason {
    const ALL: [Self; 5] =
        [Self::Miss, Self::Refresh, Self::Tag, Self::Uncached, Self::WriteThrough];

    fn label(self) -> &'static str {
        match self {
            Self::Miss => "miss",
            Self::Refresh => "refresh",
            Self::Tag => "tag",
            Self::Uncached => "uncached",
            Self::WriteThrough => "write-through",
        }
    }
}

/// The handles of one entity.
#[derive(Debug)]
pub struct EntityMetrics {
    /// Times by outcome; their counts are `corral_reads_total`.
    reads: [Histogram; ReadOutcome::ALL.len()],
    loads: [Counter; LoadReason::ALL.len()],
}

impl EntityMetrics {
    /// Counts a read that ended.
    pub fn read(&self, outcome: ReadOutcome, took: Duration) {
        self.reads[outcome as usize].record(took);
    }

    /// Counts a load.
    pub fn load(&self, reason: LoadReason) {
        self.loads[reason as usize].add(1);
    }
}

/// Every metric of a host.
#[expect(missing_docs, reason = "each field is the metric of its name, which the manual describes")]
pub struct Metrics {
    registry: Registry,
    entities: ArcSwap<BTreeMap<String, Arc<EntityMetrics>>>,
    query: Arc<EntityMetrics>,
    origin_loads: Arc<Family>,
    invalidations: Arc<Family>,
    intents: Arc<Family>,
    policy_calls: Arc<Family>,
    policy_swaps: Arc<Family>,
    pub origin_load_seconds: Histogram,
    pub flights: Gauge,
    pub coalesced: Counter,
    pub lease_granted: Counter,
    pub lease_held: Counter,
    pub lease_found: Counter,
    pub lease_unavailable: Counter,
    pub fill_stored: Counter,
    pub fill_rejected: Counter,
    pub fill_unavailable: Counter,
    pub pending_invalidations: Gauge,
    pub breaker_state: Gauge,
    pub store_unreadable: Gauge,
    pub near_entries: Gauge,
    pub near_bytes: Gauge,
    pub policy_generation: Gauge,
    pub policy_refused: Counter,
    pub http_disconnects: Counter,
    rollouts: Arc<Family>,
    pub rollout_phase: Gauge,
    pub fleet_hosts: Gauge,
}

/// In ns: from a near hit to the longest deadline, about three buckets a decade.
const TIMES: [u64; 18] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
];

/// What becomes of an announced invalidation, as the label `result`.
const INTENTS: [&str; 4] = ["withdrawn", "carried-out", "left", "not-announced"];

impl Metrics {
    /// A registry with the metrics of these entities.
    #[must_use]
    pub fn new<'a>(entities: impl IntoIterator<Item = &'a str>) -> Self {
        let mut registry = Registry::default();
        let metrics = &mut registry;
        let origin_loads =
            metrics.counters("corral_origin_loads_total", "Statements run to load a value");
        let lease = metrics.counters("corral_lease_total", "Answers to claims");
        let fill = metrics.counters("corral_fill_total", "Answers to fills");
        let intents = metrics.counters(
            "corral_intents_total",
            "Announced invalidations: withdrawn by their writer, carried out for another, left, or \
             not announced",
        );
        for result in INTENTS {
            // Exposed from the start, so that a rate has a beginning.
            intents.counter(&[("result", result)]);
        }
        metrics
            .gauge("corral_start_time_seconds", "When the host began, in seconds since 1970")
            .set(UNIX_EPOCH.elapsed().unwrap_or_default().as_secs());
        let result = |family: &Family, result| family.counter(&[("result", result)]);
        let made = Self {
            entities: ArcSwap::default(),
            query: Arc::new(entity_metrics(&origin_loads, QUERY)),
            origin_loads,
            invalidations: metrics
                .counters("corral_invalidations_total", "Invalidated keys and tags"),
            intents,
            policy_calls: metrics.counters("corral_policy_calls_total", "Calls into the policy"),
            policy_swaps: metrics
                .counters("corral_policy_swaps_total", "Policy exchanges, rollbacks and refusals"),
            origin_load_seconds: Histogram::new(&TIMES),
            flights: metrics.gauge("corral_flights", "Flights in progress"),
            coalesced: metrics
                .counter("corral_coalesced_total", "Reads that shared another read's work"),
            lease_granted: result(&lease, "granted"),
            lease_held: result(&lease, "held"),
            lease_found: result(&lease, "found"),
            lease_unavailable: result(&lease, "unavailable"),
            fill_stored: result(&fill, "stored"),
            fill_rejected: result(&fill, "rejected"),
            fill_unavailable: result(&fill, "unavailable"),
            pending_invalidations: metrics.gauge(
                "corral_pending_invalidations",
                "Invalidations that wait for the store to return",
            ),
            breaker_state: metrics.gauge(
                "corral_breaker_state",
                "The store is trusted (0), is being probed (1), is not (2)",
            ),
            store_unreadable: metrics
                .gauge("corral_store_unreadable", "Stored values met that were no envelope"),
            near_entries: metrics.gauge("corral_near_entries", "Answers in the near cache"),
            near_bytes: metrics.gauge("corral_near_bytes", "Memory that the near cache takes"),
            policy_generation: metrics.gauge("corral_policy_generation", "The generation in force"),
            policy_refused: metrics
                .counter("corral_policy_refused_total", "Policy answers that the guard refused"),
            http_disconnects: metrics
                .counter("corral_http_disconnects_total", "Requests whose client went away"),
            rollouts: metrics.counters("corral_rollouts_total", "Rollouts that ended"),
            rollout_phase: metrics.gauge(
                "corral_rollout_phase",
                "No rollout (0), preparing (1), on canaries (2), everywhere (3), going back (4)",
            ),
            fleet_hosts: metrics.gauge("corral_fleet_hosts", "Hosts alive that this one sees"),
            registry,
        };
        made.add_entities(entities);
        made
    }

    /// Adds the metrics of these entities.
    pub fn add_entities<'a>(&self, entities: impl IntoIterator<Item = &'a str>) {
        let mut known = BTreeMap::clone(&self.entities.load());
        for name in entities {
            let made = || Arc::new(entity_metrics(&self.origin_loads, name));
            known.entry(name.to_owned()).or_insert_with(made);
        }
        self.entities.store(Arc::new(known));
    }

    /// The handles of an entity; those of ad-hoc queries for any other name.
    #[must_use]
    pub fn entity(&self, name: &str) -> Arc<EntityMetrics> {
        Arc::clone(self.entities.load().get(name).unwrap_or(&self.query))
    }

    /// `corral_invalidations_total{kind,result}`; off the hot path, so looked up each time.
    pub fn invalidations(&self, kind: &'static str, result: &'static str, count: u64) {
        self.invalidations.counter(&[("kind", kind), ("result", result)]).add(count);
    }

    /// `corral_intents_total{result}`; off the hot path, so looked up each time.
    pub fn intents(&self, result: &'static str) {
        self.intents.counter(&[("result", result)]).add(1);
    }

    /// `corral_policy_swaps_total{result}`.
    pub fn policy_swaps(&self, result: &'static str) {
        self.policy_swaps.counter(&[("result", result)]).add(1);
    }

    /// `corral_rollouts_total{result}`.
    pub fn rollouts(&self, result: &'static str) {
        self.rollouts.counter(&[("result", result)]).add(1);
    }

    /// Sets `corral_policy_swaps_total{result="rolled-back-automatically"}`, which the slot counts
    /// itself.
    pub fn policy_automatic_rollbacks(&self, total: u64) {
        let labels = [("result", "rolled-back-automatically")];
        self.policy_swaps.counter(&labels).raise_to(total);
    }

    /// Sets `corral_policy_calls_total{function,result}`, which the generations count themselves.
    pub fn policy_calls(&self, function: &'static str, result: &'static str, total: u64) {
        let labels = [("function", function), ("result", result)];
        self.policy_calls.counter(&labels).raise_to(total);
    }

    /// Everything as Prometheus text, with the times of calls into the policy.
    #[must_use]
    pub fn render(&self, policy_calls: &Histogram) -> String {
        let mut text = String::new();
        self.registry.render(&mut text);
        head(&mut text, "corral_reads_total", "counter", "Reads by how they ended");
        self.each_read(|labels, reads| {
            let _infallible = writeln!(text, "corral_reads_total{{{labels}}} {}", reads.count());
        });
        head(&mut text, "corral_read_seconds", "histogram", "Time of a read");
        self.each_read(|labels, reads| reads.render("corral_read_seconds", labels, &mut text));
        head(&mut text, "corral_origin_load_seconds", "histogram", "Time of a load");
        self.origin_load_seconds.render("corral_origin_load_seconds", "", &mut text);
        let what = "Time of a call into the policy; one in 64 is timed";
        head(&mut text, "corral_policy_call_seconds", "histogram", what);
        policy_calls.render("corral_policy_call_seconds", "", &mut text);
        text
    }

    /// The reads of each entity by outcome, with their labels.
    fn each_read(&self, mut told: impl FnMut(&str, &Histogram)) {
        let known = self.entities.load();
        let entities = known.iter().map(|(name, of)| (name.as_str(), of));
        for (name, entity) in entities.chain([(QUERY, &self.query)]) {
            let name = escaped(name);
            for (outcome, reads) in ReadOutcome::ALL.into_iter().zip(&entity.reads) {
                let outcome = outcome.label();
                told(&format!("entity=\"{name}\",outcome=\"{outcome}\""), reads);
            }
        }
    }
}

/// The name under which ad-hoc queries are counted.
const QUERY: &str = "~query";

fn entity_metrics(origin_loads: &Family, entity: &str) -> EntityMetrics {
    let loads = |reason: LoadReason| {
        origin_loads.counter(&[("entity", entity), ("reason", reason.label())])
    };
    EntityMetrics {
        reads: ReadOutcome::ALL.map(|_| Histogram::new(&TIMES)),
        loads: LoadReason::ALL.map(loads),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn text(metrics: &Metrics) -> String {
        metrics.render(&Histogram::new(&[]))
    }

    #[test]
    fn every_entity_has_its_outcomes_before_its_first_read() {
        let metrics = Metrics::new(["user.profile"]);
        metrics.entity("user.profile").read(ReadOutcome::Hit, Duration::from_micros(80));
        metrics.entity("user.profile").load(LoadReason::Miss);
        let text = text(&metrics);
        assert!(text.contains(r#"corral_reads_total{entity="user.profile",outcome="hit"} 1"#));
        assert!(text.contains(r#"corral_reads_total{entity="user.profile",outcome="error"} 0"#));
        assert!(
            text.contains(r#"corral_origin_loads_total{entity="user.profile",reason="miss"} 1"#)
        );
    }

    /// The names and types in the manual's table of metrics.
    fn documented() -> BTreeSet<(String, String)> {
        let (_, rest) = include_str!("../../MANUAL.md").split_once("\n## Metrics\n").unwrap();
        let (section, _) = rest.split_once("\n## ").unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        rows.flat_map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let name = |quoted: &str| quoted.split(['`', '{']).nth(1).unwrap().to_owned();
            let kind = cells[2].to_owned();
            cells[1].split(", ").map(|each| (name(each), kind.clone())).collect::<Vec<_>>()
        })
        .collect()
    }

    #[test]
    fn the_manual_names_every_metric_and_no_other() {
        let text = text(&Metrics::new(["e"]));
        let declared =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let declared = declared.map(|(name, kind)| (name.to_owned(), kind.to_owned()));
        assert_eq!(documented(), declared.collect());
    }

    #[test]
    fn two_hosts_in_one_process_count_apart() {
        let (one, two) = (Metrics::new(["e"]), Metrics::new(["e"]));
        one.coalesced.add(3);
        assert!(text(&one).contains("corral_coalesced_total 3"));
        assert!(text(&two).contains("corral_coalesced_total 0"));
    }
}
