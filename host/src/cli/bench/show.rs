//! A report as text.

use std::fmt::Write;

use crate::bench::{BenchReport, Latency};

/// The lines of a report.
pub(super) fn text(report: &BenchReport) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string can't fail.
        let _infallible = writeln!(text, "{name:<13} {value}");
    };
    let pace = match report.rate {
        None => format!("{} connections", report.connections),
        Some(rate) => format!("{rate} per second over {} connections", report.connections),
    };
    line("load", format!("{}, {pace}", report.workload));
    line(
        "requests",
        format!(
            "{} in {:.2} s, {:.0} per second",
            report.requests, report.seconds, report.requests_per_second
        ),
    );
    line(
        "per 100 ms",
        format!(
            "worst {:.0} per second, median {:.0}",
            report.throughput.worst_per_second, report.throughput.median_per_second
        ),
    );
    for (name, latency) in [("latency", report.latency), ("of writes", report.write_latency)] {
        if let Some(latency) = latency {
            line(name, latency_text(&latency));
        }
    }
    if let Some(ratio) = report.hit_ratio {
        let near = report.near_ratio.unwrap_or(0.0);
        line("hits", format!("{:.2} %, {:.2} % near", ratio * 100.0, near * 100.0));
    }
    if let Some(hosts) = report.hosts {
        let store = hosts.store_calls.map(|calls| format!(", {calls} store calls"));
        line(
            "hosts",
            format!(
                "{} origin loads, {} policy calls{}",
                hosts.origin_loads,
                hosts.policy_calls,
                store.unwrap_or_default()
            ),
        );
    }
    if let Some(memory) = report.server_memory {
        let mib = |kib: u64| kib as f64 / 1024.0;
        line(
            "memory",
            format!(
                "{:.1} MiB at the start, {:.1} at the end, {:.1} at most",
                mib(memory.begin_kib),
                mib(memory.end_kib),
                mib(memory.most_kib)
            ),
        );
    }
    let own = report.generator_cpu_us_per_request.map(|us| format!("generator {us:.1} us"));
    let server = report.server_cpu_us_per_request.map(|us| format!("server {us:.1} us"));
    let cpu: Vec<String> = server.into_iter().chain(own).collect();
    if !cpu.is_empty() {
        line("CPU each", cpu.join(", "));
    }
    if report.unsent > 0 {
        line("unsent", format!("{}: due, but no connection was free", report.unsent));
    }
    line("failed", if report.failed == 0 { "0".to_owned() } else { errors(report) });
    text
}

/// What failed, by kind.
pub(super) fn errors(report: &BenchReport) -> String {
    let kinds = report.errors.iter().map(|(kind, count)| format!("{count} {kind}"));
    kinds.collect::<Vec<_>>().join(", ")
}

fn latency_text(latency: &Latency) -> String {
    let parts = [
        ("p50", latency.p50_us),
        ("p90", latency.p90_us),
        ("p99", latency.p99_us),
        ("p99.9", latency.p99_9_us),
        ("max", latency.max_us),
    ];
    parts.map(|(name, us)| format!("{name} {}", time(us))).join(", ")
}

fn time(us: f64) -> String {
    if us < 1_000.0 { format!("{us:.0} us") } else { format!("{:.2} ms", us / 1_000.0) }
}
