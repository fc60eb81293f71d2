//! The world of `wit/policy.wit`, for any type that makes [`Decisions`]. This is the only file that
//! names generated types, and the only one with unsafe Rust: exported functions and the cell that
//! an instance keeps its policy in need it.
#![allow(unsafe_code, reason = "exports and a static cell; see the head of this file")]

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::OnceCell;
use core::marker::PhantomData;

use bindings::exports::corral::policy::{decisions, types as wit};

use crate::{
    Change, Decisions, Entity, Event, Manifest, Memo, Moment, Objection, Plan, Refusal, Request,
    Scope, Tag, Target, Turn, flight,
};

#[allow(missing_docs, unreachable_pub, reason = "generated from wit/policy.wit, documented there")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "policy",
        pub_export_macro: true,
        export_macro_name: "export_world",
        default_bindings_module: "corral_core::component::bindings",
        // Types that are the same on both sides need no conversion. The others hold a `Key` or a
        // `Tag`, which are strings in the contract.
        with: {
            "corral:policy/types@0.2.0/action": crate::Action,
            "corral:policy/types@0.2.0/argument": crate::Argument,
            "corral:policy/types@0.2.0/cause": crate::Cause,
            "corral:policy/types@0.2.0/change": crate::Change,
            "corral:policy/types@0.2.0/column": crate::Column,
            "corral:policy/types@0.2.0/column-value": crate::ColumnValue,
            "corral:policy/types@0.2.0/concern": crate::Concern,
            "corral:policy/types@0.2.0/entity": crate::Entity,
            "corral:policy/types@0.2.0/event": crate::Event,
            "corral:policy/types@0.2.0/failure": crate::Failure,
            "corral:policy/types@0.2.0/lifetime": crate::Lifetime,
            "corral:policy/types@0.2.0/load-report": crate::LoadReport,
            "corral:policy/types@0.2.0/logged": crate::Logged,
            "corral:policy/types@0.2.0/manifest": crate::Manifest,
            "corral:policy/types@0.2.0/memo": crate::Memo,
            "corral:policy/types@0.2.0/moment": crate::Moment,
            "corral:policy/types@0.2.0/objection": crate::Objection,
            "corral:policy/types@0.2.0/operation": crate::Operation,
            "corral:policy/types@0.2.0/parameter": crate::Parameter,
            "corral:policy/types@0.2.0/piece": crate::Piece,
            "corral:policy/types@0.2.0/query": crate::Query,
            "corral:policy/types@0.2.0/refusal": crate::Refusal,
            "corral:policy/types@0.2.0/request": crate::Request,
            "corral:policy/types@0.2.0/row-change": crate::RowChange,
            "corral:policy/types@0.2.0/sighting": crate::Sighting,
            "corral:policy/types@0.2.0/source": crate::Source,
            "corral:policy/types@0.2.0/subject": crate::Subject,
            "corral:policy/types@0.2.0/terms": crate::Terms,
            "corral:policy/types@0.2.0/touch": crate::Touch,
            "corral:policy/types@0.2.0/touched-read": crate::TouchedRead,
            "corral:policy/types@0.2.0/turn": crate::Turn,
            "corral:policy/types@0.2.0/way": crate::Way,
            "corral:policy/types@0.2.0/write": crate::Write,
            "corral:policy/types@0.2.0/written": crate::Written,
        },
    });
}

/// The instance's policy; empty until `configure`.
pub struct Configured<D>(OnceCell<D>);

impl<D> Configured<D> {
    /// The cell of an instance that is not configured yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(OnceCell::new())
    }
}

impl<D> Default for Configured<D> {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: the module is built without threads, so no two threads can reach the cell.
#[cfg(not(target_feature = "atomics"))]
unsafe impl<D> Sync for Configured<D> {}

/// Which decisions a component exports, and the cell that it keeps them in;
/// [`export!`](crate::export) implements it.
pub trait Exported: 'static {
    /// The decisions.
    type Decisions: Decisions + 'static;

    /// The cell.
    fn configured() -> &'static Configured<Self::Decisions>;
}

/// Decisions as the component's functions.
pub struct Component<E>(PhantomData<E>);

impl<E: Exported> decisions::Guest for Component<E> {
    fn describe() -> Manifest {
        E::Decisions::describe()
    }

    fn configure(entities: Vec<Entity>, settings: String) -> Result<(), Vec<Objection>> {
        let policy = E::Decisions::configure(entities, &settings)?;
        E::configured()
            .0
            .set(policy)
            .map_err(|_| vec![Objection::to_setting("", "this instance is configured already")])
    }

    /// Before `configure` there are no entities.
    fn plan(request: Request) -> Result<wit::Plan, Refusal> {
        let policy = E::configured().0.get().ok_or(Refusal::UnknownEntity)?;
        policy.plan(&request).map(Into::into)
    }

    fn row_tags(request: Request, rows: Vec<wit::Row>) -> Result<Vec<String>, Refusal> {
        let policy = E::configured().0.get().ok_or(Refusal::UnknownEntity)?;
        policy.row_tags(&request, &rows).map(strings)
    }

    /// Before `configure` every event is out of place.
    fn step(memo: Memo, moment: Moment, event: Event) -> Turn {
        match E::configured().0.get() {
            Some(policy) => policy.step(memo, moment, event),
            None => flight::astray(memo, event),
        }
    }

    fn invalidate(change: Change) -> Vec<wit::Target> {
        let targets = E::configured().0.get().map(|policy| policy.invalidate(&change));
        targets.unwrap_or_default().into_iter().map(Into::into).collect()
    }
}

fn strings(tags: Vec<Tag>) -> Vec<String> {
    tags.into_iter().map(Into::into).collect()
}

/// The generated code makes an enumeration of its number by calling `_lift`, which it defines for
/// its own types and which this macro defines for ours.
macro_rules! numbered {
    ($($enumeration:ident: $first:ident $(, $other:ident)*;)+) => {$(
        impl crate::$enumeration {
            pub(crate) fn _lift(number: u8) -> Self {
                const ALL: &[crate::$enumeration] =
                    &[crate::$enumeration::$first, $(crate::$enumeration::$other),*];
                ALL.get(usize::from(number)).copied().unwrap_or(Self::$first)
            }
        }
    )+};
}

numbered! {
    Cause: Unavailable, Timeout, Overloaded, Rejected;
    Operation: Inserted, Updated, Deleted, Truncated;
    Way: Removed, Refreshed;
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
