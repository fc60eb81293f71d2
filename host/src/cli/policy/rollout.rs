//! `corral policy rollout`: a component for all hosts, and how it goes.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use hyper::Method;
use serde_json::Value;
use tokio::time::sleep;

use crate::cli::client::{Carried, Host, encode};
use crate::cli::fleet::{self, ended};
use crate::cli::{Failed, say};

pub(super) const EXAMPLES: &str = "Examples:
  corral policy rollout policy.wasm --url http://127.0.0.1:7071
  corral policy rollout policy.wasm --canary 10% --for 5m
  corral policy rollout --stop";

/// The path of the fleet's rollout.
const PATH: &str = "/admin/policy/rollout";

/// How often the host is asked how the rollout goes.
const LOOK: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["file", "stop", "forget"])))]
pub(in crate::cli) struct RolloutCommand {
    /// The component, or a core module.
    file: Option<PathBuf>,
    /// Its settings, a JSON object as `[policy.settings]` would be; without it, those in force on the host
    /// that is asked.
    #[arg(long, value_name = "FILE", requires = "file")]
    settings: Option<PathBuf>,
    /// The share of hosts on which it comes into force first.
    #[arg(long, value_name = "PERCENT", requires = "file", value_parser = percent)]
    canary: Option<u8>,
    /// How long it is watched on those.
    #[arg(long = "for", value_name = "TIME", requires = "canary", value_parser = humantime::parse_duration)]
    watch: Option<Duration>,
    /// Lets it give reads other keys: what is stored under the old ones goes cold.
    #[arg(long, requires = "file")]
    allow_rename: bool,
    /// Brings all hosts back from the rollout that is under way.
    #[arg(long)]
    stop: bool,
    /// Forgets what the fleet runs: hosts that start from now on run what their configuration says.
    #[arg(long)]
    forget: bool,
    /// One JSON document at the end instead of lines on the way.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: Host,
}

fn percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse().ok();
    let number = number.filter(|percent| (1..=100).contains(percent));
    number.ok_or_else(|| "write whole percents from 1% to 100%".to_owned())
}

pub(super) async fn run(command: RolloutCommand) -> Result<(), Failed> {
    let RolloutCommand { stop, forget, json, ref host, .. } = command;
    if forget {
        let answer = host.send(Method::DELETE, &format!("{PATH}?forget"), Carried::Nothing).await?;
        let policy = answer["forgotten"]["policy"].as_str().unwrap_or("nothing");
        say(format_args!("forgotten: {policy}"));
        return Ok(());
    }
    let begun = match &command.file {
        Some(file) => {
            let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
            let path = format!("{PATH}{}", query(&command)?);
            host.send(Method::PUT, &path, Carried::Component(bytes)).await?
        }
        None => host.send(Method::DELETE, PATH, Carried::Nothing).await?,
    };
    let id = begun["rollout"]["brings"]["rollout"].as_str().unwrap_or_default().to_owned();
    if !json {
        began(&begun).iter().for_each(say);
    }
    let last = follow(host, &id, !json).await?;
    if json {
        say(serde_json::to_string_pretty(&last)?);
    } else {
        say(ended(&last));
    }
    match last["in_force"] == true || stop {
        true => Ok(()),
        false => Err(anyhow!("the policy was brought back on every host").into()),
    }
}

fn query(command: &RolloutCommand) -> anyhow::Result<String> {
    let mut pairs = Vec::new();
    pairs.extend(command.canary.map(|percent| format!("canary={percent}")));
    pairs.extend(command.watch.map(|time| format!("for={}ms", time.as_millis())));
    if let Some(file) = &command.settings {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let settings: Value =
            serde_json::from_str(&text).with_context(|| file.display().to_string())?;
        pairs.push(format!("settings={}", encode(&settings.to_string())));
    }
    if command.allow_rename {
        pairs.push("rename=allow".to_owned());
    }
    Ok(if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) })
}

/// What begins, and how much goes cold with it.
fn began(begun: &Value) -> Vec<String> {
    let brings = &begun["rollout"]["brings"];
    let text = |name: &str| brings[name].as_str().unwrap_or_default();
    let mut lines = vec![format!("rollout {} of {}", text("rollout"), text("policy"))];
    let hot = &begun["report"]["hot"];
    if let (Some(asked), Some(renamed @ 1..)) = (hot["asked"].as_u64(), hot["renamed"].as_u64()) {
        lines.push(format!("{renamed} of {asked} hot reads get another key and go cold"));
    }
    lines
}

/// Asks how the rollout goes until it is over, and says what changes.
async fn follow(host: &Host, id: &str, tells: bool) -> Result<Value, Failed> {
    let mut said = String::new();
    loop {
        let fleet = host.send(Method::GET, fleet::PATH, Carried::Nothing).await.context(
            "the rollout goes on without this host; `corral fleet --url` asks another one",
        )?;
        if fleet["last"]["rollout"] == id {
            return Ok(fleet["last"].clone());
        }
        if fleet["rollout"]["brings"]["rollout"] != id {
            return Err(anyhow!("rollout {id} is over, and others have ended since").into());
        }
        let line = standing(&fleet);
        if tells && line != said {
            say(&line);
            said = line;
        }
        sleep(LOOK).await;
    }
}

/// `preparing: 3 of 5 hosts ready`
fn standing(fleet: &Value) -> String {
    let rollout = &fleet["rollout"];
    let phase = rollout["phase"].as_str().unwrap_or_default();
    let hosts = fleet["hosts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let count = |progress: &[&str]| {
        let is = |host: &&Value| {
            let part = &host["part"];
            let is_of = part["rollout"] == rollout["brings"]["rollout"];
            is_of && part["progress"].as_str().is_some_and(|it| progress.contains(&it))
        };
        hosts.iter().filter(is).count()
    };
    let of = hosts.len();
    match phase {
        "preparing" => format!("preparing: {} of {of} hosts ready", count(&["ready"])),
        "canary" | "everywhere" => {
            format!("{phase}: in force on {} of {of} hosts", count(&["in-force"]))
        }
        _ => {
            let trouble = rollout["trouble"].as_str().unwrap_or_default();
            format!("going back, still in force on {} hosts: {trouble}", count(&["in-force"]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_share_is_written_in_percent() {
        assert_eq!((percent("10%"), percent("7")), (Ok(10), Ok(7)));
        assert!(percent("0%").is_err() && percent("0.1").is_err() && percent("101").is_err());
    }

    #[test]
    fn a_line_counts_the_hosts_of_this_rollout() {
        let host = |rollout, progress| json!({"part": {"rollout": rollout, "progress": progress}});
        let fleet = json!({
            "rollout": {"brings": {"rollout": "7"}, "phase": "preparing"},
            "hosts": [host("7", "ready"), host("6", "ready"), host("7", "preparing"), {"part": null}],
        });
        assert_eq!(standing(&fleet), "preparing: 1 of 4 hosts ready");
    }
}
