//! The bad policies, and how each is expected to be caught.

/// A policy under `tests/policies/bad`.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its crate.
    pub name: &'static str,
    pub(super) expected: Expected,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Expected {
    /// The gate refuses it at this stage, and its reasons contain these words.
    Refused { stage: &'static str, words: &'static str },
    /// The gate can't detect it. In force, it answers reads of this item, which was not read
    /// before, with something that the host does not act upon.
    RolledBack { at: u8 },
}

const fn refused(name: &'static str, stage: &'static str, words: &'static str) -> Case {
    Case { name, expected: Expected::Refused { stage, words } }
}

const fn rolled_back(name: &'static str, at: u8) -> Case {
    Case { name, expected: Expected::RolledBack { at } }
}

/// All cases.
pub const CASES: &[Case] = &[
    refused("never-ends", "behaviour", "no event ends it"),
    refused("fills-without-lease", "behaviour", "fill after loaded: it is not legal now"),
    refused("colliding-keys", "behaviour", "two reads share the key"),
    refused("counts-its-keys", "behaviour", "asked twice, the key"),
    refused("counts-its-lifetimes", "behaviour", "asked twice"),
    refused("loops-forever", "behaviour", "it did not end within its time"),
    refused("allocates-without-end", "behaviour", "memory"),
    refused("traps-now-and-then", "behaviour", "unreachable"),
    refused("lifetime-zero", "behaviour", "the lifetime is out of bounds"),
    refused("lifetime-huge", "behaviour", "the lifetime is out of bounds"),
    refused("newline-in-key", "behaviour", "is not legal"),
    refused("other-contract", "exports", "it was built for corral:policy@0.3.0"),
    refused("older-contract", "exports", "`corral policy new` writes a project of this contract"),
    refused("reads-the-clock", "imports", "wasi:clocks/monotonic-clock"),
    refused("refuses-everything", "behaviour", "it refuses a read that is declared"),
    refused("forgets-a-key", "behaviour", "the write put leaves a read stale"),
    refused("waits-too-long", "behaviour", "the wait is longer than the time that is left"),
    rolled_back("late-fill", 71),
    rolled_back("late-trap", 72),
    rolled_back("late-loop", 73),
    rolled_back("late-circles", 74),
    rolled_back("late-lifetime", 75),
    rolled_back("late-key", 76),
    rolled_back("late-refusal", 77),
];

/// The control: it invalidates nothing for the writes of one item. Neither gate nor host can detect
/// that, so reads become stale, and the checker has to find them.
pub(super) const CONTROL: (&str, u8) = ("late-forgetter", 78);

/// Number of items: those that clients read, and those that provoke a policy.
pub(super) const ITEMS: u8 = 80;
