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
    Action, Argument, Cause, Change, Event, Failure, Memo, Moment, Plan, Policy, Problem, Query,
    Refusal, Report, Request, RowChange, Scope, Sighting, Subject, Tag, Target, Turn, Way, flight,
};

#[allow(missing_docs, unreachable_pub, reason = "generated from wit/policy.wit, documented there")]
mod bindings {
    wit_bindgen::generate!({ path: "../wit", world: "policy" });
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
    fn describe() -> wit::Manifest {
        let manifest = Policy::describe();
        wit::Manifest { name: manifest.name, version: manifest.version }
    }

    fn configure(settings: String) -> Result<(), Vec<wit::Problem>> {
        let policy = Policy::try_new(&settings)
            .map_err(|problems| problems.into_iter().map(Into::into).collect::<Vec<_>>())?;
        CONFIGURED.0.set(policy).map_err(|_| {
            let message = "this instance is configured already".into();
            vec![wit::Problem { path: String::new(), message }]
        })
    }

    /// Without settings there are no entities.
    fn plan(request: wit::Request) -> Result<wit::Plan, wit::Refusal> {
        let policy = CONFIGURED.0.get().ok_or(wit::Refusal::UnknownEntity)?;
        policy.plan(&request.into()).map(Into::into).map_err(Into::into)
    }

    fn row_tags(request: wit::Request, rows: Vec<wit::Row>) -> Result<Vec<String>, wit::Refusal> {
        let policy = CONFIGURED.0.get().ok_or(wit::Refusal::UnknownEntity)?;
        policy.row_tags(&request.into(), &rows).map(strings).map_err(Into::into)
    }

    /// Without settings every event is out of place.
    fn step(memo: wit::Memo, moment: wit::Moment, event: wit::Event) -> wit::Turn {
        let (memo, event) = (memo.into(), event.into());
        match CONFIGURED.0.get() {
            Some(policy) => policy.step(memo, moment.into(), event),
            None => flight::astray(memo, event),
        }
        .into()
    }

    fn invalidate(change: wit::Change) -> Vec<wit::Target> {
        let targets = CONFIGURED.0.get().map(|policy| policy.invalidate(&change.into()));
        targets.unwrap_or_default().into_iter().map(Into::into).collect()
    }
}

fn strings(tags: Vec<Tag>) -> Vec<String> {
    tags.into_iter().map(Into::into).collect()
}

fn all<A, B: From<A>>(items: Vec<A>) -> Vec<B> {
    items.into_iter().map(B::from).collect()
}

// ── in ───────────────────────────────────────────────────────────────────────────────────────────

impl From<wit::Argument> for Argument {
    fn from(argument: wit::Argument) -> Self {
        Self { name: argument.name, value: argument.value }
    }
}

impl From<wit::Request> for Request {
    fn from(request: wit::Request) -> Self {
        let subject = match request.subject {
            wit::Subject::Entity(name) => Subject::Entity(name),
            wit::Subject::Query(wit::Query { sql, ttl_ms, tags }) => {
                Subject::Query(Query { sql, ttl_ms, tags })
            }
        };
        Self { subject, arguments: all(request.arguments) }
    }
}

impl From<wit::Memo> for Memo {
    fn from(memo: wit::Memo) -> Self {
        let wit::Memo { phase, attempts, since_ms, spare } = memo;
        Self { phase, attempts, since_ms, spare }
    }
}

impl From<wit::Moment> for Moment {
    fn from(moment: wit::Moment) -> Self {
        let wit::Moment { elapsed_ms, left_ms, entropy } = moment;
        Self { elapsed_ms, left_ms, entropy }
    }
}

impl From<wit::Sighting> for Sighting {
    fn from(seen: wit::Sighting) -> Self {
        let wit::Sighting { age_ms, refresh_ms, fresh_ms, past_ms, cost_ms, negative } = seen;
        Self { age_ms, refresh_ms, fresh_ms, past_ms, cost_ms, negative }
    }
}

impl From<wit::Report> for Report {
    fn from(report: wit::Report) -> Self {
        let wit::Report { cost_ms, bytes, negative } = report;
        Self { cost_ms, bytes, negative }
    }
}

impl From<wit::Failure> for Failure {
    fn from(failure: wit::Failure) -> Self {
        let cause = match failure.cause {
            wit::Cause::Unavailable => Cause::Unavailable,
            wit::Cause::Timeout => Cause::Timeout,
            wit::Cause::Overloaded => Cause::Overloaded,
            wit::Cause::Rejected => Cause::Rejected,
        };
        Self { cause, at_hand: failure.at_hand.map(Into::into) }
    }
}

impl From<wit::Event> for Event {
    fn from(event: wit::Event) -> Self {
        match event {
            wit::Event::Absent => Self::Absent,
            wit::Event::Found(seen) => Self::Found(seen.into()),
            wit::Event::Bypassed => Self::Bypassed,
            wit::Event::StoreUnavailable => Self::StoreUnavailable,
            wit::Event::LeaseGranted => Self::LeaseGranted,
            wit::Event::LeaseHeld(held_ms) => Self::LeaseHeld(held_ms),
            wit::Event::Waited => Self::Waited,
            wit::Event::Loaded(report) => Self::Loaded(report.into()),
            wit::Event::LoadFailed(failure) => Self::LoadFailed(failure.into()),
            wit::Event::Filled => Self::Filled,
            wit::Event::FillRejected => Self::FillRejected,
        }
    }
}

impl From<wit::Change> for Change {
    fn from(change: wit::Change) -> Self {
        let row =
            |row: wit::RowChange| RowChange { before: all(row.before), after: all(row.after) };
        Self {
            entity: change.entity,
            write: change.write,
            arguments: all(change.arguments),
            rows: change.rows.into_iter().map(row).collect(),
        }
    }
}

// ── out ──────────────────────────────────────────────────────────────────────────────────────────

impl From<Problem> for wit::Problem {
    fn from(problem: Problem) -> Self {
        Self { path: problem.path, message: problem.message }
    }
}

impl From<Refusal> for wit::Refusal {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownEntity => Self::UnknownEntity,
            Refusal::MissingArgument(name) => Self::MissingArgument(name),
            Refusal::SurplusArgument(name) => Self::SurplusArgument(name),
        }
    }
}

impl From<Plan> for wit::Plan {
    fn from(plan: Plan) -> Self {
        let Plan { key, tags, row_columns, memo } = plan;
        Self { key: key.into(), tags: strings(tags), row_columns, memo: memo.into() }
    }
}

impl From<Memo> for wit::Memo {
    fn from(memo: Memo) -> Self {
        let Memo { phase, attempts, since_ms, spare } = memo;
        Self { phase, attempts, since_ms, spare }
    }
}

impl From<Turn> for wit::Turn {
    fn from(turn: Turn) -> Self {
        let action = match turn.action {
            Action::Look => wit::Action::Look,
            Action::Claim(lease_ms) => wit::Action::Claim(lease_ms),
            Action::Wait(wait_ms) => wit::Action::Wait(wait_ms),
            Action::Load => wit::Action::Load,
            Action::LoadUncached => wit::Action::LoadUncached,
            Action::Fill(life) => wit::Action::Fill(wit::Lifetime {
                fresh_ms: life.fresh_ms,
                stale_ms: life.stale_ms,
                refresh_ms: life.refresh_ms,
            }),
            Action::Answer => wit::Action::Answer,
            Action::AnswerAndRefresh => wit::Action::AnswerAndRefresh,
            Action::Fail => wit::Action::Fail,
        };
        Self { memo: turn.memo.into(), action }
    }
}

impl From<Argument> for wit::Argument {
    fn from(argument: Argument) -> Self {
        Self { name: argument.name, value: argument.value }
    }
}

impl From<Request> for wit::Request {
    fn from(request: Request) -> Self {
        let subject = match request.subject {
            Subject::Entity(name) => wit::Subject::Entity(name),
            Subject::Query(Query { sql, ttl_ms, tags }) => {
                wit::Subject::Query(wit::Query { sql, ttl_ms, tags })
            }
        };
        Self { subject, arguments: all(request.arguments) }
    }
}

impl From<Target> for wit::Target {
    fn from(target: Target) -> Self {
        let scope = match target.scope {
            Scope::Key(key) => wit::Scope::Key(key.into()),
            Scope::Tag(tag) => wit::Scope::Tag(tag.into()),
            Scope::Read(request) => wit::Scope::Read(request.into()),
        };
        let way = match target.way {
            Way::Removed => wit::Way::Removed,
            Way::Refreshed => wit::Way::Refreshed,
        };
        Self { scope, way }
    }
}
