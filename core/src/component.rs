//! The world of `wit/policy.wit`, exported. The only file that names generated types, and the only
//! one that is not safe Rust: what a WebAssembly module without a standard library needs (an
//! allocator, an end for panics, exported functions) has to be said somewhere.
#![allow(unsafe_code, reason = "exports and a static cell; see the head of this file")]

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::OnceCell;
use core::panic::PanicInfo;

use bindings::exports::corral::policy::{decisions, types as wit};

use crate::{
    Cause, Change, Event, Failure, Manifest, Memo, Moment, Plan, Policy, Problem, Refusal, Request,
    Scope, Tag, Target, Turn, flight,
};

#[allow(missing_docs, unreachable_pub, reason = "generated from wit/policy.wit, documented there")]
mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "policy",
        // What is the same on both sides needs no conversion. The rest holds a name of our own
        // type, or is an enumeration, which only the generator can read.
        with: {
            "corral:policy/types@0.1.0/action": crate::Action,
            "corral:policy/types@0.1.0/argument": crate::Argument,
            "corral:policy/types@0.1.0/change": crate::Change,
            "corral:policy/types@0.1.0/lifetime": crate::Lifetime,
            "corral:policy/types@0.1.0/manifest": crate::Manifest,
            "corral:policy/types@0.1.0/memo": crate::Memo,
            "corral:policy/types@0.1.0/moment": crate::Moment,
            "corral:policy/types@0.1.0/problem": crate::Problem,
            "corral:policy/types@0.1.0/query": crate::Query,
            "corral:policy/types@0.1.0/refusal": crate::Refusal,
            "corral:policy/types@0.1.0/report": crate::Report,
            "corral:policy/types@0.1.0/request": crate::Request,
            "corral:policy/types@0.1.0/row-change": crate::RowChange,
            "corral:policy/types@0.1.0/sighting": crate::Sighting,
            "corral:policy/types@0.1.0/subject": crate::Subject,
            "corral:policy/types@0.1.0/turn": crate::Turn,
            "corral:policy/types@0.1.0/way": crate::Way,
        },
    });
}

/// The module's memory. Small, and it asks the host for nothing but pages.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// A panic is a bug here; the trap costs one decision and the host drops the instance.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// The instance's policy, from `configure` on.
struct Configured(OnceCell<Policy>);

// SAFETY: the module is built without threads, so no two of them can reach the cell.
#[cfg(not(target_feature = "atomics"))]
unsafe impl Sync for Configured {}

static CONFIGURED: Configured = Configured(OnceCell::new());

struct Component;

bindings::export!(Component with_types_in bindings);

impl decisions::Guest for Component {
    fn describe() -> Manifest {
        Policy::describe()
    }

    fn configure(settings: String) -> Result<(), Vec<Problem>> {
        let policy = Policy::try_new(&settings)?;
        CONFIGURED.0.set(policy).map_err(|_| {
            let message = "this instance is configured already".into();
            vec![Problem { path: String::new(), message }]
        })
    }

    /// Without settings there are no entities.
    fn plan(request: Request) -> Result<wit::Plan, Refusal> {
        let policy = CONFIGURED.0.get().ok_or(Refusal::UnknownEntity)?;
        policy.plan(&request).map(Into::into)
    }

    fn row_tags(request: Request, rows: Vec<wit::Row>) -> Result<Vec<String>, Refusal> {
        let policy = CONFIGURED.0.get().ok_or(Refusal::UnknownEntity)?;
        policy.row_tags(&request, &rows).map(strings)
    }

    /// Without settings every event is out of place.
    fn step(memo: Memo, moment: Moment, event: wit::Event) -> Turn {
        let event = event.into();
        match CONFIGURED.0.get() {
            Some(policy) => policy.step(memo, moment, event),
            None => flight::astray(memo, event),
        }
    }

    fn invalidate(change: Change) -> Vec<wit::Target> {
        let targets = CONFIGURED.0.get().map(|policy| policy.invalidate(&change));
        targets.unwrap_or_default().into_iter().map(Into::into).collect()
    }
}

fn strings(tags: Vec<Tag>) -> Vec<String> {
    tags.into_iter().map(Into::into).collect()
}

impl From<wit::Failure> for Failure {
    fn from(failure: wit::Failure) -> Self {
        let cause = match failure.cause {
            wit::Cause::Unavailable => Cause::Unavailable,
            wit::Cause::Timeout => Cause::Timeout,
            wit::Cause::Overloaded => Cause::Overloaded,
            wit::Cause::Rejected => Cause::Rejected,
        };
        Self { cause, at_hand: failure.at_hand }
    }
}

impl From<wit::Event> for Event {
    fn from(event: wit::Event) -> Self {
        match event {
            wit::Event::Absent => Self::Absent,
            wit::Event::Found(seen) => Self::Found(seen),
            wit::Event::Bypassed => Self::Bypassed,
            wit::Event::StoreUnavailable => Self::StoreUnavailable,
            wit::Event::LeaseGranted => Self::LeaseGranted,
            wit::Event::LeaseHeld(held_ms) => Self::LeaseHeld(held_ms),
            wit::Event::Waited => Self::Waited,
            wit::Event::Loaded(report) => Self::Loaded(report),
            wit::Event::LoadFailed(failure) => Self::LoadFailed(failure.into()),
            wit::Event::Filled => Self::Filled,
            wit::Event::FillRejected => Self::FillRejected,
        }
    }
}

impl From<Plan> for wit::Plan {
    fn from(plan: Plan) -> Self {
        let Plan { key, tags, row_columns, memo } = plan;
        Self { key: key.into(), tags: strings(tags), row_columns, memo }
    }
}

impl From<Target> for wit::Target {
    fn from(target: Target) -> Self {
        let scope = match target.scope {
            Scope::Key(key) => wit::Scope::Key(key.into()),
            Scope::Tag(tag) => wit::Scope::Tag(tag.into()),
            Scope::Read(request) => wit::Scope::Read(request),
        };
        Self { scope, way: target.way }
    }
}
