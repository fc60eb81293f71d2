//! How the default policy behaves, whatever it runs in: the suite for every policy, what the
//! default policy promises beyond the suite, and a comparison of two policies over generated calls.

mod generated;
mod keys;
mod lifetimes;

use anyhow::{Result, anyhow, bail, ensure};
use corral_host::policy::prove::suite::{self, SuiteFlight};
use corral_host::policy::{
    Action, Argument, Configuration, Decider, Event, Plan, Request, Subject,
};

pub use generated::{Call, Generator, first_difference, first_other_decision};

/// The settings of the policy under test. The entities are the suite's.
const SETTINGS: &str =
    r#"{ "namespace": "v1", "jitter": 0.2, "early_refresh": 1.0, "lease_ms": 1000 }"#;

/// What the policy under test is configured with.
#[must_use]
pub fn configuration() -> Configuration {
    suite::configuration(&serde_json::from_str(SETTINGS).unwrap_or_default())
}

/// A promise of the default policy beyond the suite; its name is the sentence that it proves.
type Promise = (&'static str, fn(&dyn Decider) -> Result<()>);

macro_rules! promises {
    ($($path:path),+ $(,)?) => { &[$((stringify!($path), $path)),+] };
}

const PROMISES: &[Promise] = promises![
    keys::a_usual_read_has_a_key_that_a_person_can_read,
    keys::ten_kilobytes_of_text_are_hashed,
    lifetimes::a_base_of_300_s_lives_240_to_360_s_uniformly,
    lifetimes::the_early_refresh_lies_ahead_by_a_head_start_and_an_exponential_of_the_cost,
    lifetimes::a_value_is_never_due_in_the_first_half_of_its_life,
    lifetimes::a_row_that_does_not_exist_has_the_negative_lifetime,
    a_claim_asks_for_the_lease_of_the_settings,
];

/// Runs every check, and returns how many there were.
///
/// # Errors
/// Each check that fails, by name, and why.
pub fn run_all(policy: &dyn Decider) -> Result<usize> {
    let suite = suite::CHECKS.iter().map(|check| {
        let outcome = check.run(policy).map_err(|seen| anyhow!("{seen}"));
        (check.sentence(), outcome)
    });
    let promises = PROMISES.iter().map(|(name, run)| ((*name).to_owned(), run(policy)));
    let failed: Vec<String> = suite
        .chain(promises)
        .filter_map(|(name, outcome)| Some(format!("{name}: {:#}", outcome.err()?)))
        .collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(suite::CHECKS.len() + PROMISES.len())
}

fn a_claim_asks_for_the_lease_of_the_settings(policy: &dyn Decider) -> Result<()> {
    Ok(SuiteFlight::of(policy)?.leads_to(Event::Absent, Action::Claim(1_000))?)
}

fn entity(name: &str, arguments: &[(&str, Option<&str>)]) -> Request {
    let argument = |(name, value): &(&str, Option<&str>)| Argument {
        name: (*name).into(),
        value: value.map(str::to_owned),
    };
    let arguments = arguments.iter().map(argument).collect();
    Request { subject: Subject::Entity(name.into()), arguments }
}

fn profile(id: Option<&str>) -> Request {
    entity("user.profile", &[("id", id)])
}

fn plan(policy: &dyn Decider, request: &Request) -> Result<Plan> {
    match policy.plan(request)? {
        Ok(plan) => Ok(plan),
        Err(refusal) => bail!("{request:?} was refused: {refusal:?}"),
    }
}
