//! `corral policy diff`: two policies, the same questions, and where the answers differ.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::Config;
use crate::policy::prove::compare::trace::{self, Prediction, predict};
use crate::policy::prove::compare::{Comparison, Difference, Pair, Questions, Shift};
use crate::policy::prove::gate::{self, Conditions, Passed};
use crate::policy::{Decider, Engine, builtin};
use crate::service::{
    TraceRequests, conditions, generated_questions, recorded_questions, trace_requests,
};
use crate::trace::Trace;

use super::super::cache::engine;
use super::super::{Failed, load, say};

/// Stands for the component that is built into the host.
const BUILT_IN: &str = "builtin";

#[derive(clap::Args)]
pub(in crate::cli) struct Diff {
    /// A component, or `builtin`.
    old: PathBuf,
    /// The component that it is compared with.
    new: PathBuf,
    /// The configuration whose settings, entities and writes both are asked with.
    #[arg(long, value_name = "FILE", default_value = "corral.toml")]
    config: PathBuf,
    /// Another configuration for the new policy; the questions are still those of the first.
    #[arg(long, value_name = "FILE")]
    new_config: Option<PathBuf>,
    /// Settings of the old policy, a JSON object that is laid over those of the configuration.
    #[arg(long, value_name = "JSON")]
    old_settings: Option<String>,
    /// Settings of the new policy.
    #[arg(long, value_name = "JSON")]
    new_settings: Option<String>,
    /// Recorded requests instead of generated ones: a JSON object a line.
    #[arg(long, value_name = "FILE")]
    requests: Option<PathBuf>,
    /// What a load costs, in milliseconds: one figure, or several that are equally likely.
    #[arg(long, value_name = "MS", value_delimiter = ',', default_value = "20")]
    cost_ms: Vec<u32>,
    /// Plays a trace under both, in virtual time: big-endian 32-bit integers, perhaps in xz, or a
    /// number a line.
    #[arg(long, value_name = "FILE", requires_all = ["rate", "entity"])]
    trace: Option<PathBuf>,
    /// Accesses of the trace in a second.
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// The entity that the trace reads.
    #[arg(long)]
    entity: Option<String>,
    /// The parameter that the trace's numbers stand for; not needed if the entity has only one.
    #[arg(long)]
    param: Option<String>,
    /// The share of the trace's accesses that are writes of the thing, 0 to 1.
    #[arg(long, value_parser = share, default_value = "0")]
    writes: f64,
    /// Plays only so many of its accesses.
    #[arg(long, value_name = "ACCESSES")]
    limit: Option<usize>,
    /// One JSON document instead of text.
    #[arg(long)]
    json: bool,
    /// Exit code 1 when a decision differs.
    #[arg(long)]
    exit_code: bool,
}

/// Everything that was found out.
#[derive(Serialize)]
struct DiffReport {
    old: ComparedPolicy,
    new: ComparedPolicy,
    #[serde(flatten)]
    comparison: Comparison,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<Traced>,
}

/// A policy that is compared.
#[derive(Serialize)]
struct ComparedPolicy {
    name: String,
    version: String,
    digest: String,
}

#[derive(Serialize)]
struct Traced {
    old: Prediction,
    new: Prediction,
}

pub(super) fn run(diff: &Diff) -> Result<(), Failed> {
    let config = load(&diff.config)?;
    let engine = engine(config.policy.limits.clone())?;
    let old = pass(&engine, &config, &diff.old, diff.old_settings.as_deref())?;
    let other = diff.new_config.as_deref().map(load).transpose()?;
    let other = other.as_ref().unwrap_or(&config);
    let new = pass(&engine, other, &diff.new, diff.new_settings.as_deref())?;
    let pair = Pair { old: &**old.pool(), new: &**new.pool() };
    let comparison = pair.compare(&questions(diff, &config)?);
    let trace = traced(diff, &config, pair)?;
    let report = DiffReport {
        old: ComparedPolicy::of(&old),
        new: ComparedPolicy::of(&new),
        comparison,
        trace,
    };
    if diff.json {
        say(serde_json::to_string_pretty(&report)?);
    } else {
        report.lines().iter().for_each(say);
    }
    if diff.exit_code && report.comparison.differs() {
        return Err(Failed::Run(anyhow!("the policies differ")));
    }
    Ok(())
}

/// Both sides have to pass the gate: a component that it refuses is not worth comparing.
fn pass(
    engine: &Engine,
    config: &Config,
    path: &Path,
    overlay: Option<&str>,
) -> Result<Passed, Failed> {
    let shown = path.display();
    let bytes = if path == Path::new(BUILT_IN) {
        builtin().to_vec()
    } else {
        std::fs::read(path).with_context(|| shown.to_string())?
    };
    let settings = settings(config, overlay).map_err(Failed::Usage)?;
    let configuration = Arc::new(config.for_policy_with(&settings));
    let passed = gate::examine(engine, &bytes, &Conditions { configuration, ..conditions(config) });
    Ok(passed.map_err(|rejection| anyhow!("{shown}: {rejection}"))?)
}

fn settings(config: &Config, overlay: Option<&str>) -> anyhow::Result<Map<String, Value>> {
    let mut settings = config.policy.settings.clone();
    let Some(overlay) = overlay else { return Ok(settings) };
    let overlay = serde_json::from_str(overlay)
        .context("settings are a JSON object, such as '{\"jitter\": 0.5}'")?;
    lay_over(&mut settings, overlay);
    Ok(settings)
}

/// Objects are merged, everything else is replaced.
fn lay_over(settings: &mut Map<String, Value>, overlay: Map<String, Value>) {
    for (name, value) in overlay {
        match (settings.get_mut(&name), value) {
            (Some(Value::Object(below)), Value::Object(above)) => lay_over(below, above),
            (_, value) => {
                settings.insert(name, value);
            }
        }
    }
}

fn questions(diff: &Diff, config: &Config) -> Result<Questions, Failed> {
    let questions = match &diff.requests {
        None => generated_questions(config),
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            recorded_questions(config, &text)
                .with_context(|| path.display().to_string())
                .map_err(Failed::Usage)?
        }
    };
    let sum: u64 = diff.cost_ms.iter().copied().map(u64::from).sum();
    let mean = sum / u64::try_from(diff.cost_ms.len().max(1))?;
    Ok(Questions { cost_ms: u32::try_from(mean)?, ..questions })
}

fn traced(diff: &Diff, config: &Config, pair: Pair<'_>) -> Result<Option<Traced>, Failed> {
    let (Some(path), Some(rate), Some(entity)) = (&diff.trace, diff.rate, &diff.entity) else {
        return Ok(None);
    };
    let trace = Trace::read(path).with_context(|| path.display().to_string())?;
    let trace = trace.limited(diff.limit.unwrap_or(usize::MAX));
    let requests = trace_requests(config, entity, diff.param.as_deref())
        .map_err(|error| Failed::Usage(error.into()))?;
    if diff.writes > 0.0 && requests.write(1).is_none() {
        return Err(Failed::Usage(anyhow!("--writes: {entity} has no write")));
    }
    let one = |policy: &dyn Decider| played(policy, trace.accesses(), &requests, rate, diff);
    Ok(Some(Traced { old: one(pair.old), new: one(pair.new) }))
}

fn played(
    policy: &dyn Decider,
    accesses: &[u32],
    requests: &TraceRequests<'_>,
    rate: f64,
    diff: &Diff,
) -> Prediction {
    let terms = trace::TraceTerms {
        rate,
        writes: diff.writes,
        costs_ms: &diff.cost_ms,
        deadline_ms: requests.deadline_ms(),
        kept_at_most: requests.kept_at_most(),
        read: &|thing| requests.read(thing),
        write: &|thing| requests.write(thing),
    };
    predict(policy, accesses, &terms)
}

impl ComparedPolicy {
    fn of(passed: &Passed) -> Self {
        let report = passed.report();
        Self {
            name: report.name.clone(),
            version: report.version.clone(),
            digest: report.digest.clone(),
        }
    }

    fn label(&self) -> String {
        let digest: String = self.digest.chars().take(12).collect();
        format!("{}@{} ({digest})", self.name, self.version)
    }
}

impl DiffReport {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} → {}", self.old.label(), self.new.label())];
        let compared: u64 = self.comparison.findings.iter().map(|f| f.compared).sum();
        let differing: u64 = self.comparison.findings.iter().map(|f| f.differing).sum();
        lines.push(format!("{compared} decisions compared, {differing} differ"));
        let findings = self.comparison.findings.iter().filter(|finding| finding.differing > 0);
        findings.for_each(|finding| lines.extend(told(finding)));
        self.comparison.lifetimes.iter().for_each(|shift| lines.extend(moved(shift)));
        if let Some(trace) = &self.trace {
            lines.extend(predicted(trace));
        }
        lines
    }
}

fn told(finding: &Difference) -> Vec<String> {
    let Difference { entity, aspect, compared, differing, examples } = finding;
    let mut lines = vec![format!("{entity}: {aspect} differs in {differing} of {compared}")];
    for example in examples {
        lines.push(format!("  {}", example.at));
        lines.push(format!("    old: {}", example.old));
        lines.push(format!("    new: {}", example.new));
    }
    lines
}

fn moved(shift: &Shift) -> Vec<String> {
    let row = if shift.negative { "no row" } else { "a row" };
    let spread = |spread: Option<crate::policy::prove::compare::Spread>| {
        spread.map_or("never filled".to_owned(), |spread| format!("{spread} ms"))
    };
    vec![
        format!("{}: lifetimes of {row}, mean (least to most)", shift.entity),
        format!("    old: {}", spread(shift.old)),
        format!("    new: {}", spread(shift.new)),
    ]
}

fn predicted(trace: &Traced) -> Vec<String> {
    let Traced { old, new } = trace;
    let mut lines = vec![format!(
        "trace: {} reads of {} things and {} writes in {:.1} s, as predicted",
        new.reads, new.distinct, new.writes, new.seconds
    )];
    for (name, side) in [("old", old), ("new", new)] {
        lines.push(format!(
            "    {name}: hit ratio {:.2} %, {} loads ({} of them refreshes), {} stale hits, {} shared \
             a load, {} undecided",
            side.hit_ratio * 100.0,
            side.loads,
            side.refreshes,
            side.stale_hits,
            side.collapsed,
            side.undecided,
        ));
    }
    lines
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if rate.is_finite() && rate >= 1e-3 {
        return Ok(rate);
    }
    Err("accesses in a second, at least 0.001".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err("a share is a number from 0 to 1".to_owned())
    }
}
