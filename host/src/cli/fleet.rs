//! `corral fleet`: the hosts that are alive, and what each runs.

use hyper::Method;
use serde_json::Value;

use super::client::{Carried, Host};
use super::{Failed, say};

/// The path that answers for the whole fleet.
pub(super) const PATH: &str = "/admin/fleet";

#[derive(clap::Args)]
pub(super) struct FleetCommand {
    /// The host's JSON document instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: Host,
}

pub(super) async fn run(command: FleetCommand) -> Result<(), Failed> {
    let fleet = command.host.send(Method::GET, PATH, Carried::Nothing).await?;
    if command.json {
        say(serde_json::to_string_pretty(&fleet)?);
    } else {
        table(&fleet).iter().for_each(say);
    }
    Ok(())
}

fn table(fleet: &Value) -> Vec<String> {
    let head =
        ["host", "release", "format", "policy", "digest", "silent", "store", "sees", "rollout"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(fleet["hosts"].as_array().into_iter().flatten().map(row));
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |row: &[String; 9]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.push(String::new());
    lines.extend(told(fleet));
    lines
}

fn row(host: &Value) -> [String; 9] {
    let text = |name: &str| host[name].as_str().unwrap_or_default().to_owned();
    let ms = |name: &str| host[name].as_u64().unwrap_or(0);
    let digest = text("digest").chars().take(12).collect();
    let store = if host["trusts"] == true { "trusted" } else { "not trusted" };
    let sees = format!("{}, {} s ago at most", host["sees"], ms("quietest_ms").div_ceil(1_000));
    let part = &host["part"];
    let progress = part["progress"].as_str().unwrap_or("none").to_owned();
    let rollout = match part["reason"].as_str() {
        None | Some("") => progress,
        Some(reason) => format!("{progress}: {reason}"),
    };
    [
        text("listen"),
        text("release"),
        host["format"].to_string(),
        text("policy"),
        digest,
        format!("{:.1} s", ms("silent_ms") as f64 / 1e3),
        store.to_owned(),
        sees,
        rollout,
    ]
}

/// What the fleet runs, and what became of rollouts.
fn told(fleet: &Value) -> Vec<String> {
    let text = |of: &Value, name: &str| of[name].as_str().unwrap_or_default().to_owned();
    let mut lines = Vec::new();
    lines.push(match fleet["runs"].as_object() {
        Some(_) => format!(
            "the fleet runs {} ({})",
            text(&fleet["runs"], "policy"),
            text(&fleet["runs"], "digest")
        ),
        None => "no rollout has come through: each host runs what it was given".to_owned(),
    });
    let rollout = &fleet["rollout"];
    if rollout.is_object() {
        let (policy, id) =
            (text(&rollout["brings"], "policy"), text(&rollout["brings"], "rollout"));
        lines.push(format!("rollout {id} of {policy}: {}", text(rollout, "phase")));
    }
    let last = &fleet["last"];
    if last.is_object() {
        lines.push(ended(last));
    }
    lines
}

/// A rollout that is over, in a sentence.
pub(super) fn ended(last: &Value) -> String {
    let text = |name: &str| last[name].as_str().unwrap_or_default();
    let seconds = |name: &str| last[name].as_u64().unwrap_or(0) as f64 / 1e3;
    let what = format!("rollout {} of {}", text("rollout"), text("policy"));
    if last["in_force"] == true {
        let everywhere = seconds("everywhere_after_ms");
        return format!("{what}: in force on every host after {everywhere:.1} s");
    }
    format!("{what}: brought back after {:.1} s: {}", seconds("ended_after_ms"), text("trouble"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_has_a_line_for_each_host_and_says_what_became_of_the_last_rollout() {
        let host = |listen: &str, part: Value| {
            json!({ "listen": listen, "release": "0.1.0", "format": 1, "policy": "a@1.0.0;generation=2",
                    "digest": "0123456789abcdef", "silent_ms": 1_240, "trusts": true, "sees": 2,
                    "quietest_ms": 1_900, "part": part })
        };
        let fleet = json!({
            "hosts": [host("127.0.0.1:1", json!(null)), host("127.0.0.1:20", json!({"progress": "ready"}))],
            "runs": null,
            "last": { "rollout": "7", "policy": "b@1.0.0", "in_force": false, "trouble": "it failed",
                      "ended_after_ms": 2_500 },
        });
        let lines = table(&fleet);
        assert!(lines[0].starts_with("host          release"), "{lines:#?}");
        assert!(
            lines[1].contains("0123456789ab  1.2 s   trusted  2, 2 s ago at most  none"),
            "{lines:#?}"
        );
        assert!(lines[2].ends_with("ready"));
        assert_eq!(lines[5], "rollout 7 of b@1.0.0: brought back after 2.5 s: it failed");
    }
}
