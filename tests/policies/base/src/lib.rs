//! The built-in policy, and what it takes to deviate from it: a crate implements [`Deviation`],
//! overrides the decision that it changes, and calls `policy_base::export!` with its type.
//!
//! A good policy implements [`Rules`] instead. [`Deviation`] allows a bad one: it sees every answer
//! of the built-in policy and may give any other.
#![no_std]

extern crate alloc;

#[cfg(target_family = "wasm")]
mod module;
pub mod unlucky;

use alloc::vec::Vec;
use core::marker::PhantomData;

pub use corral_core::{self, *};

/// What a policy decides; each decision is the built-in policy's unless it is overridden.
pub trait Deviation: 'static {
    /// What it is called.
    const NAME: &'static str;

    /// Names a read.
    ///
    /// # Errors
    /// A [`Refusal`] that names what is wrong with the request.
    fn plan(builtin: &Policy, request: &Request) -> Result<Plan, Refusal> {
        builtin.plan(request)
    }

    /// The tags that depend on the loaded rows.
    ///
    /// # Errors
    /// As [`Deviation::plan`].
    fn row_tags(builtin: &Policy, request: &Request, rows: &[Row]) -> Result<Vec<Tag>, Refusal> {
        builtin.row_tags(request, rows)
    }

    /// One transition of a flight.
    fn step(builtin: &Policy, memo: Memo, moment: Moment, event: Event) -> Turn {
        builtin.step(memo, moment, event)
    }

    /// What a change makes untrue.
    fn invalidate(builtin: &Policy, change: &Change) -> Vec<Target> {
        builtin.invalidate(change)
    }
}

/// The built-in policy with the decisions that `D` overrides.
pub struct Deviating<D> {
    builtin: Policy,
    deviation: PhantomData<D>,
}

impl<D: Deviation> Decisions for Deviating<D> {
    fn describe() -> Manifest {
        Manifest { name: D::NAME.into(), version: env!("CARGO_PKG_VERSION").into() }
    }

    fn configure(entities: Vec<Entity>, settings: &str) -> Result<Self, Vec<Objection>> {
        let builtin = Policy::configure(entities, settings)?;
        Ok(Self { builtin, deviation: PhantomData })
    }

    fn plan(&self, request: &Request) -> Result<Plan, Refusal> {
        D::plan(&self.builtin, request)
    }

    fn row_tags(&self, request: &Request, rows: &[Row]) -> Result<Vec<Tag>, Refusal> {
        D::row_tags(&self.builtin, request, rows)
    }

    fn step(&self, memo: Memo, moment: Moment, event: Event) -> Turn {
        D::step(&self.builtin, memo, moment, event)
    }

    fn invalidate(&self, change: &Change) -> Vec<Target> {
        D::invalidate(&self.builtin, change)
    }
}

/// Exports a type that implements [`Deviation`] as the component's policy.
#[macro_export]
macro_rules! export {
    ($deviation:ty) => {
        $crate::corral_core::export!($crate::Deviating<$deviation>);
    };
}
