//! `corral policy push / settings / rollback`

use std::path::Path;

use anyhow::Context;
use hyper::Method;
use serde_json::Value;

use crate::cli::client::{Carried, Host};
use crate::cli::{Failed, say};

/// Sends a component that is to be in force.
pub(super) async fn policy(file: &Path, allow_rename: bool, host: Host) -> Result<(), Failed> {
    exchange("/admin/policy", Carried::Component(read(file)?), allow_rename, host).await
}

/// Sends settings for the component in force.
pub(super) async fn settings(file: &Path, allow_rename: bool, host: Host) -> Result<(), Failed> {
    exchange("/admin/policy/settings", Carried::Json(read(file)?), allow_rename, host).await
}

async fn exchange(
    path: &str,
    carried: Carried,
    allow_rename: bool,
    host: Host,
) -> Result<(), Failed> {
    let query = if allow_rename { "?rename=allow" } else { "" };
    active(&host.send(Method::PUT, &format!("{path}{query}"), carried).await?);
    Ok(())
}

/// Sends a component whose names the host is to know, but that is not put in force.
pub(super) async fn learn(file: &Path, host: Host) -> Result<(), Failed> {
    let component = Carried::Component(read(file)?);
    let answer = host.send(Method::PUT, "/admin/policy?rename=learn", component).await?;
    let text = |name: &str| answer.pointer(name).and_then(Value::as_str).unwrap_or_default();
    say(format_args!("learned: {}@{}", text("/learned/name"), text("/learned/version")));
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| file.display().to_string())
}

pub(super) async fn rollback(host: Host) -> Result<(), Failed> {
    active(&host.send(Method::POST, "/admin/policy/rollback", Carried::Nothing).await?);
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
