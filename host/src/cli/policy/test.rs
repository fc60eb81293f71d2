//! `corral policy test`

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use serde_json::{Map, Value, json};

use crate::policy::Decider;
use crate::policy::build::Language;
use crate::policy::prove::gate::{self, Conditions, Passport};
use crate::policy::prove::suite::{self, CHECKS};

use crate::cli::cache::engine;
use crate::cli::{Failed, load, say};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  corral policy test policy.wasm\n  \
                        corral policy test policy.wasm --config corral.toml --json")]
pub(in crate::cli) struct Test {
    /// The component.
    file: PathBuf,
    /// The configuration whose `[policy.settings]` it is tested with.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Prints one JSON document instead of sentences.
    #[arg(long)]
    json: bool,
}

/// A sentence, and why it does not hold; `None` if it holds.
struct Verdict {
    sentence: String,
    problem: Option<String>,
}

pub(super) fn run(command: &Test) -> Result<(), Failed> {
    let own = match &command.config {
        Some(path) => load(path)?.policy.settings,
        None => Map::new(),
    };
    let (passport, verdicts) = examine(&command.file, &own)?;
    let failed = verdicts.iter().filter(|verdict| verdict.problem.is_some()).count();
    if command.json {
        say(document(&passport, &verdicts));
    } else {
        sentences(&passport, &verdicts);
    }
    if failed == 0 { Ok(()) } else { Err(anyhow!("{failed} of {} failed", verdicts.len()).into()) }
}

/// Uses the limits of an interpreter: which ones a host grants is up to its configuration.
fn examine(file: &Path, own: &Map<String, Value>) -> Result<(Passport, Vec<Verdict>), Failed> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let engine = engine(Language::JavaScript.limits())?;
    let conditions = Conditions::of(suite::configuration(own));
    let passed = gate::examine(&engine, &bytes, &conditions)
        .map_err(|rejection| anyhow!("{}: {rejection}", file.display()))?;
    let policy: &dyn Decider = &**passed.pool();
    let verdict = |check: &suite::Check| Verdict {
        sentence: check.sentence(),
        problem: check.run(policy).err().map(|seen| seen.to_string()),
    };
    Ok((passed.report().clone(), CHECKS.iter().map(verdict).collect()))
}

fn sentences(passport: &Passport, verdicts: &[Verdict]) {
    let Passport { name, version, decisions, took_ms, .. } = passport;
    say(format_args!("{name}@{version}: gate passed, {decisions} decisions in {took_ms} ms"));
    for Verdict { sentence, problem } in verdicts {
        match problem {
            None => say(format_args!("  passed  {sentence}")),
            Some(problem) => say(format_args!("  FAILED  {sentence}\n          {problem}")),
        }
    }
}

fn document(passport: &Passport, verdicts: &[Verdict]) -> Value {
    let check = |Verdict { sentence, problem }: &Verdict| json!({ "sentence": sentence, "passed": problem.is_none(), "problem": problem });
    json!({
        "name": passport.name,
        "version": passport.version,
        "digest": passport.digest,
        "passed": verdicts.iter().all(|verdict| verdict.problem.is_none()),
        "checks": verdicts.iter().map(check).collect::<Vec<_>>(),
    })
}
