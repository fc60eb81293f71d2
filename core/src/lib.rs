//! Corral's caching policy as pure functions.
//!
//! A *decision* is what a cache must know and can't look up: how a key is named, how long a value
//! lives, what a write makes untrue, what a read does next when a thousand others want the same
//! key. This crate makes decisions and carries none of them out. It has no clock, no randomness and
//! no I/O: what a decision depends on is an argument, and what must last until the next one is a
//! [`Memo`] that the caller keeps. The same arguments give the same answer, on every platform.
//!
//! Everything goes through one type, [`Policy`], which makes [`Decisions`]:
//!
//! * [`Decisions::configure`] comes first and validates the policy's own settings once; nothing
//!   after it can fail for what they say.
//! * Naming: [`Decisions::plan`] gives a [`Request`] its [`Key`], its [`Tag`]s and its first memo.
//!   If the plan asks for columns, [`Decisions::row_tags`] gives the tags that depend on the loaded
//!   rows.
//! * The flight: [`Decisions::step`] takes the memo, the [`Moment`] and the [`Event`] that
//!   happened, and answers with the next memo and the [`Action`] to take. The caller begins with
//!   the event that its look at the store brought, carries out the action, and comes back with the
//!   event that the action led to, until the action is [`Action::Answer`],
//!   [`Action::AnswerAndRefresh`] or [`Action::Fail`].
//! * Changes: [`Decisions::invalidate`] says what a [`Change`] makes untrue.
//! * Tags by hand: [`push_segment`] and [`Tag::rendered`] spell a tag as the policy does, for a
//!   caller that gets the tag's text or its values from an operator.
//!
//! After `configure` they may be called in any order, from any thread, for any number of flights.
//!
//! An author's own policy is a `Policy` with other [`Rules`]: they override the decisions that the
//! author wants to change and leave the rest as it is. [`export!`] makes a component of it.
//!
//! # Time
//!
//! All times are milliseconds and relative: to the beginning of the flight, to its deadline, to
//! now. A policy never learns what time it is. Random bits come in [`Moment::entropy`], drawn by
//! the caller for one step and never used for two.
//!
//! # Invariants
//!
//! * Two different requests never share a key, unless a policy's own [`Rules::key`] gives them one;
//!   the order of arguments makes no difference.
//! * [`Action::Load`] follows [`Event::LeaseGranted`] and [`Action::Fill`] follows a load under a
//!   lease; nothing else leads to either.
//! * A wait is never longer than the deadline, and every flight can end.
//! * No arguments make it panic. A memo that this policy did not write, or an event that can't have
//!   happened, gets the turn that is right in every case: ask the origin, store nothing.
//!
//! Compiled for WebAssembly with the feature `component`, the crate is the built-in policy as a
//! component: it exports the world of `wit/policy.wit` and imports nothing.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(target_family = "wasm")]
pub mod component;
mod contract;
#[cfg(all(target_family = "wasm", feature = "component"))]
mod default;
mod digest;
mod distinct;
mod escape;
mod export;
mod flight;
mod invalidation;
mod json;
mod key;
mod lifetime;
mod naming;
mod policy;
mod rules;
mod settings;
mod tag;
#[cfg(test)]
mod testing;

pub use contract::*;
pub use escape::push_segment;
pub use key::Key;
pub use policy::{Decisions, Policy};
pub use rules::{BuiltIn, Kept, Read, Rules};
pub use settings::whole_setting;
pub use tag::Tag;
