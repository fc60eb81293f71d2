//! A plain policy, and what it takes to deviate from it: a crate implements [`Policy`], overrides
//! the one decision that it wants otherwise, and says `policy_base::export!(Its)`.
//!
//! It names reads exactly as the default policy does, keeps them for their lifetime ± 20 %, and
//! knows neither early refreshes nor stale answers while it refreshes.
#![no_std]

extern crate alloc;

mod export;
mod flight;
mod naming;
mod settings;
mod touches;
pub mod unlucky;

use alloc::string::String;
use alloc::vec::Vec;

pub use bindings::exports::corral::policy::types::*;
pub use export::Exported;
pub use flight::{Phase, lifetime};
pub use settings::Settings;

/// The contract, as generated from `wit/policy.wit`.
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "policy",
        pub_export_macro: true,
        export_macro_name: "export_world",
        default_bindings_module: "policy_base::bindings",
    });
}

/// What a policy decides; each decision is the plain one unless it is overridden.
pub trait Policy {
    /// What it is called.
    const NAME: &'static str;

    /// Names a read.
    ///
    /// # Errors
    /// What the request has wrong.
    fn plan(settings: &Settings, request: &Request) -> Result<Plan, Refusal> {
        settings.plan(request)
    }

    /// The tags that only the loaded rows know.
    ///
    /// # Errors
    /// As [`Policy::plan`].
    fn row_tags(
        settings: &Settings,
        request: &Request,
        rows: &[Row],
    ) -> Result<Vec<String>, Refusal> {
        settings.row_tags(request, rows)
    }

    /// One transition of a flight.
    fn step(settings: &Settings, memo: Memo, moment: Moment, event: Event) -> Turn {
        settings.step(memo, moment, event)
    }

    /// What a change makes untrue.
    fn invalidate(settings: &Settings, change: &Change) -> Vec<Target> {
        settings.invalidate(change)
    }
}

/// Exports a type that implements [`Policy`] as the component's policy.
#[macro_export]
macro_rules! export {
    ($policy:ident) => {
        type Component = $crate::Exported<$policy>;
        $crate::bindings::export_world!(Component with_types_in $crate::bindings);
    };
}
