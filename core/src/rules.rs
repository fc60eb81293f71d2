//! Where a policy differs from the built-in one.

use alloc::vec::Vec;

use crate::{
    Argument, Change, Entity, Event, Key, LoadReport, Manifest, Objection, Request, Tag, Target,
    Terms,
};

/// What a policy decides differently. Every function but [`Rules::manifest`] has the built-in
/// answer, so an implementation overrides only what it changes; [`Policy`](crate::Policy) does the
/// rest.
///
/// All of them are pure: the same arguments give the same answer, in every instance.
pub trait Rules: Default {
    /// The names of the rules' own settings, which [`Rules::configure`] reads. A setting is refused
    /// as unknown if neither this list nor the built-in policy has its name.
    const SETTINGS: &'static [&'static str] = &[];

    /// What the policy is called; [`manifest!`](crate::manifest) takes it from the crate.
    fn manifest() -> Manifest;

    /// Reads the rules' own settings. `settings` is the JSON object of `[policy.settings]`, of which
    /// [`whole_setting`](crate::whole_setting) reads a number.
    ///
    /// # Errors
    /// Everything that can't be accepted.
    fn configure(_entities: &[Entity], _settings: &str) -> Result<Self, Vec<Objection>> {
        Ok(Self::default())
    }

    /// The key of a read; `key` is the built-in one.
    fn key(&self, _read: &Read<'_>, key: Key) -> Key {
        key
    }

    /// Changes the tags of a read, which are at first those that its entity declares or its query
    /// brings. The tags that depend on the loaded rows come later, and rules do not change them.
    fn tags(&self, _read: &Read<'_>, _tags: &mut Vec<Tag>) {}

    /// What a flight notes of its read when it begins. The note is all that later decisions of the
    /// flight learn of the read's arguments.
    fn note(&self, _read: &Read<'_>) -> u32 {
        0
    }

    /// What a flight's note becomes when something happens to the flight.
    fn noted(&self, note: u32, _event: &Event) -> u32 {
        note
    }

    /// Under which terms a flight's value is kept and answered.
    fn terms(&self, kept: &Kept<'_>) -> Terms {
        kept.terms
    }

    /// How long a value that was just loaded is fresh, in milliseconds, before jitter. Not called
    /// for a row that does not exist, for which the terms' `negative_ttl_ms` counts.
    fn ttl_ms(&self, kept: &Kept<'_>, _load: &LoadReport) -> u32 {
        kept.terms.ttl_ms
    }

    /// Changes the targets of a change, which are at first those that the configuration says.
    fn targets(&self, _change: &Change, _targets: &mut Vec<Target>) {}
}

/// A read, as rules see it when it is named.
#[derive(Debug, Clone, Copy)]
pub struct Read<'r> {
    /// The entity that is read; `None` for an ad-hoc query.
    pub entity: Option<&'r Entity>,
    /// The request for it.
    pub request: &'r Request,
}

impl<'r> Read<'r> {
    /// The argument of this name: `None` if there is none, `Some(None)` if it is SQL's null.
    #[must_use]
    pub fn argument(&self, name: &str) -> Option<Option<&'r str>> {
        value_of(&self.request.arguments, name)
    }
}

/// The value of the argument with this name: `None` if there is none, `Some(None)` if it is null.
pub(crate) fn value_of<'a>(arguments: &'a [Argument], name: &str) -> Option<Option<&'a str>> {
    let found = arguments.iter().find(|argument| argument.name == name)?;
    Some(found.value.as_deref())
}

/// What rules know of a flight's value when they decide how long it is kept.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'k> {
    /// The entity; `None` for an ad-hoc query.
    pub entity: Option<&'k Entity>,
    /// What the configuration or the query's caller asked for. In [`Rules::ttl_ms`] it is what
    /// [`Rules::terms`] returned.
    pub terms: Terms,
    /// What the flight noted.
    pub note: u32,
}

/// The rules of the built-in policy, which override nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BuiltIn;

impl Rules for BuiltIn {
    fn manifest() -> Manifest {
        Manifest { name: "default".into(), version: env!("CARGO_PKG_VERSION").into() }
    }
}

/// What a policy is called: the name and the version of the crate that says `manifest!()`.
#[macro_export]
macro_rules! manifest {
    () => {
        $crate::Manifest {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    };
}

#[cfg(test)]
mod tests;
