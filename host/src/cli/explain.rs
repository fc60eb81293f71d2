//! `corral explain`: what a running host would do with a read, and why.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context;
use hyper::Method;
use serde_json::Value;

use super::client::{Carried, Host, encode};
use super::{Failed, say};

#[derive(clap::Args)]
pub(super) struct Explain {
    /// The entity.
    entity: String,
    /// Its parameters.
    #[arg(value_name = "NAME=VALUE", value_parser = pair)]
    params: Vec<(String, String)>,
    /// A component that is asked beside the policy in force.
    #[arg(long, value_name = "FILE")]
    candidate: Option<PathBuf>,
    /// The host's JSON document instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: Host,
}

pub(super) async fn run(explain: Explain) -> Result<(), Failed> {
    let pairs = explain.params.iter();
    let query: Vec<String> =
        pairs.map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let path = format!("/admin/explain/{}?{}", encode(&explain.entity), query.join("&"));
    let (method, body) = match &explain.candidate {
        None => (Method::GET, Carried::Nothing),
        Some(file) => {
            let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
            (Method::POST, Carried::Component(bytes))
        }
    };
    let explained = explain.host.send(method, &path, body).await?;
    if explain.json {
        say(serde_json::to_string_pretty(&explained)?);
    } else {
        say(text(&explained).trim_end());
    }
    Ok(())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("write NAME=VALUE, such as id=42")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

fn text(explained: &Value) -> String {
    let mut text = String::new();
    line(&mut text, 0, &string(explained, "read"));
    let store = (string(explained, "store"), string(explained, "breaker"));
    line(&mut text, 0, &format!("store: {}, breaker {}", store.0, store.1));
    explanation(&mut text, &explained["active"]);
    if let Some(candidate) = explained.get("candidate") {
        line(&mut text, 0, "");
        explanation(&mut text, candidate);
    }
    text
}

fn explanation(text: &mut String, of: &Value) {
    line(text, 0, &format!("policy: {}", string(of, "policy")));
    if let Some(problem) = of.get("problem").and_then(Value::as_str) {
        line(text, 1, &format!("problem: {problem}"));
    }
    if let Some(key) = of["key"].as_str() {
        line(text, 1, &format!("key: {key}"));
        line(text, 1, &format!("tags: {}", list(&of["tags"])));
        if let Some(tags) = of.get("row_tags") {
            line(text, 1, &format!("tags of the row: {}", list(tags)));
        } else if let Some(columns) = of.get("row_columns") {
            line(text, 1, &format!("tags depend on columns: {}", list(columns)));
        }
        line(text, 1, &envelope(&of["envelope"]));
        line(
            text,
            1,
            &match of["lease_held_ms"].as_u64() {
                Some(held_ms) => format!("lease: held, {held_ms} ms are left unless it is renewed"),
                None => "lease: free".to_owned(),
            },
        );
    }
    for course in of["courses"].as_array().into_iter().flatten() {
        line(text, 1, &format!("{}:", string(course, "when")));
        course["turns"].as_array().into_iter().flatten().for_each(|turn| turned(text, turn));
    }
}

fn turned(text: &mut String, turn: &Value) {
    line(text, 2, &format!("{} → {}", string(turn, "event"), string(turn, "action")));
    if let Some(instead_of) = turn.get("instead_of").and_then(Value::as_str) {
        line(text, 3, &format!("by the host's own rule, instead of {instead_of}"));
    }
    if let Some(spread) = turn.get("lifetimes") {
        let range = |name: &str| {
            let of = |part: &str| spread[name][part].as_u64().unwrap_or(0);
            format!("{} to {}, mean {}", of("min"), of("max"), of("mean"))
        };
        line(text, 3, &format!("fresh: {} ms", range("fresh_ms")));
        line(text, 3, &format!("stale after that: {} ms", range("stale_ms")));
        line(text, 3, &format!("refreshed from: {} ms", range("refresh_ms")));
    }
}

fn envelope(envelope: &Value) -> String {
    if envelope.is_null() {
        return "envelope: none".to_owned();
    }
    let number = |name: &str| envelope[name].as_u64().unwrap_or(0);
    let freshness = match (number("fresh_for_ms"), number("refresh_in_ms")) {
        (0, _) => format!("stale for {} ms", number("stale_since_ms")),
        (fresh_ms, 0) => format!("fresh for {fresh_ms} ms, refresh due"),
        (fresh_ms, in_ms) => format!("fresh for {fresh_ms} ms, refresh in {in_ms} ms"),
    };
    let row = if envelope["negative"] == true {
        "no such row".to_owned()
    } else {
        format!("{} bytes", number("bytes"))
    };
    format!(
        "envelope: {row}, loaded {} ms ago in {} ms, {freshness}, kept for {} ms, filled under \
         generation {} of its host",
        number("age_ms"),
        number("cost_ms"),
        number("kept_for_ms"),
        number("generation"),
    )
}

fn list(names: &Value) -> String {
    let names: Vec<&str> =
        names.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn string(of: &Value, name: &str) -> String {
    of[name].as_str().unwrap_or_default().to_owned()
}

fn line(text: &mut String, depth: usize, line: &str) {
    // Writing to a string does not fail.
    let _infallible = writeln!(text, "{:indent$}{line}", "", indent = depth * 2);
}
