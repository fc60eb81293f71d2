//! `corral policy build / show / push / rollback`

mod gate;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use axum::http::Method;
use clap::Subcommand;
use serde_json::Value;

use crate::config::Config;
use crate::policy::build;
use crate::policy::gate::{Passport, Terms};
use crate::service::terms;

use super::client::Host;
use super::{Failed, load, say};

#[derive(Subcommand)]
pub(super) enum PolicyCommand {
    /// Builds a policy crate into a component, through the gate.
    #[command(after_help = "Examples:\n  corral policy build my-policy --out policy.wasm\n  \
                            corral policy build core --check host/default-policy.wasm")]
    Build {
        /// The crate's folder.
        #[arg(default_value = ".")]
        path: PathBuf,
        /// Where the component goes.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Builds nothing new: fails when this component is not what the sources would give.
        #[arg(long, value_name = "FILE", conflicts_with = "out")]
        check: Option<PathBuf>,
    },
    /// Runs the gate on a component, and says what it found.
    #[command(after_help = "Examples:\n  corral policy check policy.wasm\n  \
                            corral policy check policy.wasm --config corral.toml --json")]
    Check {
        /// The component, or a core module.
        file: PathBuf,
        /// The configuration whose settings, entities and limits it is examined with; without it,
        /// those of a small shop.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// One JSON document instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Describes a component, or the generations of a running host.
    #[command(after_help = "Examples:\n  corral policy show policy.wasm\n  \
                            corral policy show policy.wasm --config corral.toml\n  \
                            corral policy show --url http://127.0.0.1:7071")]
    Show {
        /// A component; without it, a running host is asked.
        file: Option<PathBuf>,
        /// The configuration whose settings and entities the gate uses.
        #[arg(long, value_name = "FILE", requires = "file")]
        config: Option<PathBuf>,
        #[command(flatten)]
        host: Host,
    },
    /// Puts a component in force on a running host.
    #[command(
        after_help = "Example:\n  corral policy push policy.wasm --url http://127.0.0.1:7071"
    )]
    Push {
        /// The component, or a core module.
        file: PathBuf,
        #[command(flatten)]
        host: Host,
    },
    /// Puts the previous generation in force again.
    #[command(after_help = "Example:\n  corral policy rollback --url http://127.0.0.1:7071")]
    Rollback {
        #[command(flatten)]
        host: Host,
    },
}

pub(super) async fn run(command: PolicyCommand) -> Result<(), Failed> {
    match command {
        PolicyCommand::Build { path, check: Some(component), .. } => check(&path, &component),
        PolicyCommand::Build { path, out, check: None } => build(&path, out.as_deref()),
        PolicyCommand::Check { file, config, json } => gate::run(&file, config.as_deref(), json),
        PolicyCommand::Show { file: Some(file), config, .. } => show(&file, config.as_deref()),
        PolicyCommand::Show { file: None, host, .. } => {
            let status = host.send(Method::GET, "/admin/policy", Vec::new()).await?;
            say(serde_json::to_string_pretty(&status)?);
            Ok(())
        }
        PolicyCommand::Push { file, host } => {
            let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
            active(&host.send(Method::PUT, "/admin/policy", bytes).await?);
            Ok(())
        }
        PolicyCommand::Rollback { host } => {
            active(&host.send(Method::POST, "/admin/policy/rollback", Vec::new()).await?);
            Ok(())
        }
    }
}

fn build(path: &Path, out: Option<&Path>) -> Result<(), Failed> {
    let built = build::build(path, out)?;
    let passport = examine(&built.path, None)?;
    say(format_args!(
        "{}: {}@{}, {} bytes, sha-256 {}, built by {}",
        built.path.display(),
        passport.name,
        passport.version,
        built.bytes,
        built.digest,
        built.stamp.rustc,
    ));
    Ok(())
}

fn check(path: &Path, component: &Path) -> Result<(), Failed> {
    build::check_current(path, component)?;
    say(format_args!("{} is what {} gives", component.display(), path.display()));
    Ok(())
}

fn show(file: &Path, config: Option<&Path>) -> Result<(), Failed> {
    let config = config.map(load).transpose()?;
    let passport = examine(file, config.as_ref())?;
    let bytes = std::fs::read(file)?;
    say(format_args!("name: {}", passport.name));
    say(format_args!("version: {}", passport.version));
    say(format_args!("sha-256: {}", passport.digest));
    say(format_args!("bytes: {}", passport.bytes));
    // The gate lets no import pass.
    say("imports: none");
    if let Some(stamp) = build::stamp_of(&bytes) {
        say(format_args!("built by: {}", stamp.rustc));
        say(format_args!("sources: {}", stamp.source));
    }
    say(format_args!("gate: passed, {} decisions in {} ms", passport.decisions, passport.took_ms));
    Ok(())
}

/// The gate, with the settings of a configuration or none.
fn examine(file: &Path, config: Option<&Config>) -> Result<Passport, Failed> {
    let limits = config.map(|config| config.policy.limits.clone()).unwrap_or_default();
    let terms = config.map_or_else(Terms::default, terms);
    let passport = gate::examine(file, limits, &terms)?;
    passport.map_err(|rejection| anyhow!("{}: {rejection}", file.display()).into())
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
