//! What the tests show to authors of policies: every language judged by the same checks.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use corral_host::policy::prove::gate::{self, Conditions, Passed, Passport};
use corral_host::policy::prove::suite::{self, CHECKS};
use corral_host::policy::{Engine, InstancePool, Limits};
use serde_json::Map;

use crate::scenario::cost::{self, Cost};
use crate::scenario::newcomer::Walk;
use crate::servers::user_cache;

/// A component that passed the gate and was run through the suite.
pub struct Judged {
    /// What the gate learned of it.
    pub passport: Passport,
    /// Its instances, configured with the suite's settings.
    pub pool: Arc<InstancePool>,
    /// The sentences of the suite that don't hold, and why.
    pub failed: Vec<String>,
    /// What its decisions cost.
    pub cost: Cost,
}

/// Judges a component, with limits that an interpreter keeps even on a busy machine.
///
/// # Errors
/// When the gate refuses it, or it traps.
pub fn judged(component: &Path) -> anyhow::Result<Judged> {
    let passed = examined(
        component,
        Limits {
            call: Duration::from_secs(1),
            start: Duration::from_secs(30),
            gate: Duration::from_secs(5),
            memory_bytes: 128 << 20,
            ..Limits::default()
        },
    )?;
    let pool = Arc::clone(passed.pool());
    let failed = |check: &suite::Check| {
        let seen = check.run(&*pool).err()?;
        Some(format!("{}: {seen}", check.sentence()))
    };
    let failed = CHECKS.iter().filter_map(failed).collect();
    let cost = cost::of(&*pool)?;
    Ok(Judged { passport: passed.report().clone(), pool, failed, cost })
}

/// Lets the gate examine a component within some limits.
///
/// # Errors
/// When the gate refuses it: its reasons.
pub fn examined(component: &Path, limits: Limits) -> anyhow::Result<Passed> {
    let conditions = Conditions::of(suite::configuration(&Map::new()));
    // As a command does that comes after the build.
    let engine = Engine::new(limits)?.keeping_in(&user_cache()?.join("corral"));
    gate::examine(&engine, &fs::read(component)?, &conditions)
        .map_err(|rejection| anyhow!("{}: {rejection}", component.display()))
}

/// The head of the table whose lines [`line()`] makes.
pub const HEAD: &str = "| language | new s | build s | own test s | push s | first read s | bytes | step µs | plan µs |\n\
                        |---|---|---|---|---|---|---|---|---|";

/// A language's line in the table.
#[must_use]
pub fn line(walk: &Walk, cost: Cost) -> String {
    let Walk { language, new_s, build_s, own_test_s, push_s, read_s, bytes, .. } = walk;
    let Cost { step_us, plan_us } = cost;
    format!(
        "| {language} | {new_s} | {build_s} | {own_test_s} | {push_s} | {read_s} | {bytes} | \
         {step_us} | {plan_us} |"
    )
}
