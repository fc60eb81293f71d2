//! What was measured, as text.

use std::fmt::Write as _;

use super::against;
use super::claims::Bar;
use super::compare::{Comparison, Outcome, Scenario};
use super::disturbed;
use super::growth::Table;
use super::numbers::{Spread, short};

/// Every scenario of a comparison as a table, and the judged claims.
#[must_use]
pub fn comparison(comparison: &Comparison) -> String {
    let mut text = format!(
        "{} rounds of {:.1} s, {} bytes of JSON, {} keys, {} cores ({}) shared with the generator.\n\
         Medians (least to most); CPU is per request.\n",
        comparison.rounds,
        comparison.seconds,
        comparison.body_bytes,
        comparison.keys,
        comparison.machine.cores,
        comparison.machine.processor,
    );
    for scenario in Scenario::ALL {
        text.push_str(&scenario_table(comparison, scenario));
    }
    for missing in &comparison.missing {
        // Writing to a string does not fail.
        let _ = writeln!(text, "missing: {}: {}", missing.name, missing.reason);
    }
    if let Some(start) = &comparison.start {
        let _ = writeln!(
            text,
            "\nstart to first answer: {} ms, the first time on a machine {} ms, over {} starts, \
             then {} MiB",
            spread(&start.ready_ms),
            spread(&start.first_ms),
            start.starts,
            short(start.memory_mib.median),
        );
    }
    text.push('\n');
    for claim in &comparison.claims {
        let bar = match claim.bar {
            Bar::AtLeast(bar) => format!("at least {bar}"),
            Bar::AtMost(bar) => format!("at most {bar}"),
        };
        let verdict = if claim.holds { "holds" } else { "DOES NOT HOLD" };
        let _ = writeln!(text, "{:<52} {:>7.3}  {bar:<14} {verdict}", claim.what, claim.value);
    }
    text
}

fn scenario_table(comparison: &Comparison, scenario: Scenario) -> String {
    let head =
        ["", "req/s", "to Corral's", "CPU us", "Redis us", "p50 us", "p99 us", "p99.9 us", "MiB"];
    let corral = |redis| {
        let lines = comparison.lines.iter().filter(|line| line.name.starts_with("Corral"));
        let line = lines.into_iter().find(|line| line.asks_redis == redis);
        line.and_then(|line| line.outcome(scenario))
    };
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for line in &comparison.lines {
        let Some(outcome) = line.outcome(scenario) else { continue };
        // Each server is compared with the Corral that does the same work.
        let corral = corral(line.asks_redis);
        let ratio = corral.map(|corral| ratio(outcome, corral)).unwrap_or_default();
        rows.push(vec![
            line.name.clone(),
            spread(&outcome.requests_per_second),
            ratio,
            spread(&outcome.cpu_us),
            if line.asks_redis { spread(&outcome.redis_cpu_us) } else { "-".to_owned() },
            spread(&outcome.p50_us),
            spread(&outcome.p99_us),
            spread(&outcome.p99_9_us),
            short(outcome.memory_mib.median),
        ]);
    }
    format!("\n{}\n{}", scenario.name(), aligned(&rows))
}

fn ratio(outcome: &Outcome, corral: &Outcome) -> String {
    format!("{:.2}", outcome.requests_per_second.median / corral.requests_per_second.median)
}

fn spread(spread: &Spread) -> String {
    format!("{} ({}-{})", short(spread.median), short(spread.least), short(spread.most))
}

/// The tables of growth.
#[must_use]
pub fn growth(tables: &[Table]) -> String {
    let mut text = String::new();
    for table in tables {
        let names = table.lines.first().map(|line| &line.figures);
        let mut head = vec![table.what.to_owned()];
        head.extend(names.into_iter().flatten().map(|(name, _)| name.replace('_', " ")));
        let mut rows = vec![head];
        for line in &table.lines {
            let mut row = vec![line.size.to_string()];
            row.extend(line.figures.iter().map(|(_, value)| short(*value)));
            rows.push(row);
        }
        text.push_str(&aligned(&rows));
        text.push('\n');
    }
    text
}

/// The lines of disturbed open loops.
#[must_use]
pub fn disturbed(lines: &[disturbed::Line]) -> String {
    let head = [
        "",
        "disturbed by",
        "rate",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "max us",
        "worst 100 ms",
        "failed",
        "unsent",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for line in lines {
        let side = if line.near { "near" } else { "store" };
        rows.push(vec![
            format!("{side}, {:.0} %", line.share_of_capacity * 100.0),
            format!("{:?}", line.disturbance),
            short(line.rate),
            short(line.p50_us),
            short(line.p99_us),
            short(line.p99_9_us),
            short(line.max_us),
            format!("{:.0} %", line.worst_bucket_of_median * 100.0),
            line.failed.to_string(),
            line.unsent.to_string(),
        ]);
    }
    aligned(&rows)
}

/// The lines of two programs beside each other.
#[must_use]
pub fn against(lines: &[against::Line]) -> String {
    let head = ["", "CPU us", "req/s", "instructions", "CPU of this to that"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for line in lines {
        let name = |program| format!("{:?} hits, threads {}, {program}", line.layer, line.threads);
        for (program, cost, ratio) in
            [("that", &line.earlier, String::new()), ("this", &line.ours, exact(&line.cpu_ratio))]
        {
            rows.push(vec![
                name(program),
                spread(&cost.cpu_us),
                spread(&cost.requests_per_second),
                format!("{:.0}", cost.instructions),
                ratio,
            ]);
        }
    }
    aligned(&rows)
}

fn exact(spread: &Spread) -> String {
    format!("{:.3} ({:.3}-{:.3})", spread.median, spread.least, spread.most)
}

/// Columns as wide as their widest cell; the first one is aligned to the left, the others to the
/// right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(text, "{cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [["", "a"], ["name", "100"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(aligned(&rows), "        a\nname  100\n");
    }
}
