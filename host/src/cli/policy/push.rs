//! `corral policy push / settings / rollback`

use std::path::Path;

use anyhow::Context;
use axum::http::Method;
use serde_json::Value;

use crate::cli::client::Host;
use crate::cli::{Failed, say};

/// Sends a file to a path of the admin face that answers with the generation in force.
pub(super) async fn run(
    file: &Path,
    path: &str,
    allow_rename: bool,
    host: Host,
) -> Result<(), Failed> {
    let query = if allow_rename { "?rename=allow" } else { "" };
    active(&host.send(Method::PUT, &format!("{path}{query}"), read(file)?).await?);
    Ok(())
}

/// Sends a component whose names the host is to know, and that it does not put in force.
pub(super) async fn learn(file: &Path, host: Host) -> Result<(), Failed> {
    let answer = host.send(Method::PUT, "/admin/policy?rename=learn", read(file)?).await?;
    let text = |name: &str| answer.pointer(name).and_then(Value::as_str).unwrap_or_default();
    say(format_args!("learned: {}@{}", text("/learned/name"), text("/learned/version")));
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| file.display().to_string())
}

pub(super) async fn rollback(host: Host) -> Result<(), Failed> {
    active(&host.send(Method::POST, "/admin/policy/rollback", Vec::new()).await?);
    Ok(())
}

fn active(answer: &Value) {
    let text = |name: &str| answer.pointer(name).and_then(Value::as_str).unwrap_or_default();
    let generation = answer.pointer("/active/generation").and_then(Value::as_u64).unwrap_or(0);
    say(format_args!(
        "active: {}@{};generation={generation}",
        text("/active/name"),
        text("/active/version"),
    ));
}
