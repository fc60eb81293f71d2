//! `corral policy shadow`: a candidate beside the policy in force of a running host.

use std::path::PathBuf;

use anyhow::Context;
use hyper::Method;
use serde_json::Value;

use super::super::client::{Carried, Host};
use super::super::{Failed, say};

/// The path of a host's shadow.
const PATH: &str = "/admin/policy/shadow";

#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["file", "report", "end"])))]
pub(in crate::cli) struct ShadowCommand {
    /// The component, or a core module, that shall be asked from now on.
    file: Option<PathBuf>,
    /// The share of flights and changes that it is asked.
    #[arg(long, default_value_t = 1.0, requires = "file")]
    sample: f64,
    /// Shows what the shadow has found.
    #[arg(long)]
    report: bool,
    /// Ends the shadow, and shows its last report.
    #[arg(long)]
    end: bool,
    /// The host's JSON document instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: Host,
}

pub(super) async fn run(shadow: ShadowCommand) -> Result<(), Failed> {
    let ShadowCommand { file, sample, report: _, end, json, host } = shadow;
    let report = match file {
        Some(file) => {
            let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
            let path = format!("{PATH}?sample={sample}");
            host.send(Method::PUT, &path, Carried::Component(bytes)).await?
        }
        None if end => host.send(Method::DELETE, PATH, Carried::Nothing).await?,
        None => host.send(Method::GET, PATH, Carried::Nothing).await?,
    };
    if json {
        say(serde_json::to_string_pretty(&report)?);
    } else {
        lines(&report).iter().for_each(say);
    }
    Ok(())
}

fn lines(report: &Value) -> Vec<String> {
    let text = |name: &str| report[name].as_str().unwrap_or_default();
    let number = |name: &str| report[name].as_u64().unwrap_or(0);
    let micros = |name: &str| report[name].as_f64().unwrap_or(0.0);
    let state = match (report["ended"].as_str(), report["running"].as_bool()) {
        (Some(why), _) => format!("ended: {why}"),
        (None, Some(true)) => format!("running since {}", text("began")),
        (None, _) => "ended".to_owned(),
    };
    let mut lines = vec![
        format!("{}@{}: {state}", text("name"), text("version")),
        format!(
            "{} flights and {} changes compared, {} lost to a full queue",
            number("flights"),
            number("changes"),
            number("dropped"),
        ),
        format!(
            "{} calls, {:.1} µs each, the slowest {:.0} µs, {} traps",
            number("calls"),
            micros("mean_call_us"),
            micros("slowest_call_us"),
            number("traps"),
        ),
    ];
    let findings = report["findings"].as_array();
    let differing = |finding: &&Value| finding["differing"].as_u64() > Some(0);
    for finding in findings.into_iter().flatten().filter(differing) {
        lines.extend(told(finding));
    }
    lines
}

fn told(finding: &Value) -> Vec<String> {
    let text = |of: &Value, name: &str| of[name].as_str().unwrap_or_default().to_owned();
    let (entity, aspect) = (text(finding, "entity"), text(finding, "aspect"));
    let (differing, compared) = (&finding["differing"], &finding["compared"]);
    let mut lines = vec![format!("{entity}: {aspect} differs in {differing} of {compared}")];
    for example in finding["examples"].as_array().into_iter().flatten() {
        lines.push(format!("  {}", text(example, "at")));
        lines.push(format!("    in force: {}", text(example, "old")));
        lines.push(format!("    shadow:   {}", text(example, "new")));
    }
    lines
}
