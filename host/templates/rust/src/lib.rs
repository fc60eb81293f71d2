//! What a Corral host asks: the interface `decisions` of wit/policy.wit. Functions without a clock,
//! without dice and without I/O: whatever a decision depends on is an argument.

mod canonical;
mod flight;
mod invalidation;
mod lifetime;
mod naming;
mod settings;
mod template;

use std::sync::OnceLock;

use bindings::exports::corral::policy::decisions::Guest;
use bindings::exports::corral::policy::types::{
    Change, Event, Manifest, Memo, Moment, Plan, Problem, Refusal, Request, Row, Target, Turn,
};
use settings::Settings;

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "policy", additional_derives: [PartialEq] });
}

/// What `configure` was told; the same in every instance.
static SETTINGS: OnceLock<Settings> = OnceLock::new();

/// The policy.
pub struct Policy;

impl Guest for Policy {
    fn describe() -> Manifest {
        let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        Manifest {
            name: name.into(),
            version: version.into(),
        }
    }

    fn configure(text: String) -> Result<(), Vec<Problem>> {
        let settings = Settings::try_new(&text)?;
        SETTINGS
            .set(settings)
            .map_err(|_| vec![settings::problem("", "is configured already")])
    }

    fn plan(request: Request) -> Result<Plan, Refusal> {
        naming::plan(settings(), &request)
    }

    fn row_tags(request: Request, rows: Vec<Row>) -> Result<Vec<String>, Refusal> {
        naming::row_tags(settings(), &request, &rows)
    }

    fn step(memo: Memo, moment: Moment, event: Event) -> Turn {
        flight::step(settings(), memo, moment, event)
    }

    fn invalidate(change: Change) -> Vec<Target> {
        invalidation::targets(settings(), &change)
    }
}

fn settings() -> &'static Settings {
    SETTINGS.get_or_init(Settings::default)
}

#[cfg(target_family = "wasm")]
bindings::export!(Policy with_types_in bindings);

#[cfg(test)]
mod tests;
