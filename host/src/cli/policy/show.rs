//! `corral policy show`

use std::path::Path;

use anyhow::{Context, anyhow};
use hyper::Method;

use crate::cli::client::{Carried, Host};
use crate::cli::{Failed, load, say};
use crate::policy::prove::gate::Conditions;
use crate::policy::{Limits, build};
use crate::service::conditions;

use super::gate;

pub(super) fn file(file: &Path, config: Option<&Path>) -> Result<(), Failed> {
    let config = config.map(load).transpose()?;
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let limits =
        config.as_ref().map_or_else(Limits::default, |config| config.policy.limits.clone());
    let conditions = config.as_ref().map_or_else(Conditions::default, conditions);
    let examined = gate::examine(&bytes, limits, &conditions)?;
    let passport = examined.map_err(|rejection| anyhow!("{}: {rejection}", file.display()))?;
    say(format_args!("name: {}", passport.name));
    say(format_args!("version: {}", passport.version));
    say(format_args!("sha-256: {}", passport.digest));
    say(format_args!("bytes: {}", passport.bytes));
    // The gate lets no import pass.
    say("imports: none");
    if let Some(stamp) = build::stamp_of(&bytes) {
        say(format_args!("built by: {}", stamp.compiler));
        say(format_args!("sources: {}", stamp.source));
    }
    say(format_args!("gate: passed, {} decisions in {} ms", passport.decisions, passport.took_ms));
    Ok(())
}

pub(super) async fn host(path: &str, host: Host) -> Result<(), Failed> {
    let status = host.send(Method::GET, path, Carried::Nothing).await?;
    say(serde_json::to_string_pretty(&status)?);
    Ok(())
}
