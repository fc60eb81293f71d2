//! Settings, validated once. What holds a [`Settings`] need not check anything again.
//!
//! The host hands over one JSON object: the operator's `[policy.settings]`, and beside them what a
//! policy must know of the configuration's entities. Every problem is reported with its path.

mod entity;
mod fields;

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

pub(crate) use entity::Entity;
use fields::Fields;

use crate::flight::Tuning;
use crate::invalidation::Signature;
use crate::lifetime::{DURATION_MAX_MS, JITTER_MAX, Spread};
use crate::{Problem, escape, json, key};

/// Keys begin with it; changing it leaves everything behind that was ever stored.
const NAMESPACE_DEFAULT: &str = "v1";

/// A base of 300 s lives 240 s to 360 s.
const JITTER_DEFAULT: f64 = 0.2;

/// XFetch's optimum for loads whose cost varies as an exponential.
const EARLY_REFRESH_DEFAULT: f64 = 1.0;

/// Beyond this, refreshes begin so early that the floor of half a life decides alone.
const EARLY_REFRESH_MAX: f64 = 10.0;

/// A second: what others wait for a holder that died. A living one renews.
const LEASE_DEFAULT_MS: u32 = 1_000;

/// Shorter leases would run out in an ordinary pause of the process or the network.
const LEASE_MIN_MS: u32 = 100;

/// A dead holder must not be waited for longer than any reader waits.
const LEASE_MAX_MS: u32 = 60_000;

/// Until the deadline: a living load is always worth waiting for.
const PATIENCE_DEFAULT_MS: u32 = 0;

/// Ad-hoc queries have no entity that says how fast their rows change.
const QUERY_TTL_DEFAULT_MS: u32 = 60_000;

/// Most entities; a memo counts them and keeps a query's lifetime in the numbers above.
pub(crate) const ENTITIES_MAX: usize = 65_536;

/// What the policy knows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) namespace: String,
    pub(crate) tuning: Tuning,
    pub(crate) query_ttl_ms: u32,
    /// Sorted by name.
    pub(crate) entities: Vec<Entity>,
}

impl Settings {
    /// Reads and checks the settings.
    pub(crate) fn try_new(settings: &str) -> Result<Self, Vec<Problem>> {
        let value = json::parse(settings).map_err(|error| {
            vec![Problem { path: String::new(), message: format!("is not JSON: it {error}") }]
        })?;
        let mut problems = Vec::new();
        let settings = Fields::of(String::new(), &value, &mut problems).map(read);
        settings.filter(|_| problems.is_empty()).ok_or(problems)
    }

    /// The entity of this name, and its index.
    pub(crate) fn entity(&self, name: &str) -> Option<(usize, &Entity)> {
        let index = self.entities.binary_search_by(|entity| entity.name.as_str().cmp(name)).ok()?;
        Some((index, self.entities.get(index)?))
    }
}

fn read(mut fields: Fields<'_, '_>) -> Settings {
    let namespace = fields.text("namespace", NAMESPACE_DEFAULT);
    if !is_name(namespace, key::NAMESPACE_BYTES_MAX) || has_upper_case(namespace) {
        let legal = "letters in lower case, digits and `. _ -`";
        fields.reject("namespace", format!("must be 1 to {} of {legal}", key::NAMESPACE_BYTES_MAX));
    }
    let tuning = Tuning {
        spread: Spread {
            jitter: fields.fraction("jitter", JITTER_DEFAULT, JITTER_MAX),
            early_refresh: fields.fraction(
                "early_refresh",
                EARLY_REFRESH_DEFAULT,
                EARLY_REFRESH_MAX,
            ),
        },
        lease_ms: fields.number("lease_ms", Some(LEASE_DEFAULT_MS), LEASE_MIN_MS..=LEASE_MAX_MS),
        patience_ms: fields.number("patience_ms", Some(PATIENCE_DEFAULT_MS), 0..=DURATION_MAX_MS),
    };
    let query_ttl_ms = fields.object("query").map_or(QUERY_TTL_DEFAULT_MS, read_query);
    let entities = read_entities(&mut fields);
    fields.finish();
    Settings { namespace: namespace.into(), tuning, query_ttl_ms, entities }
}

fn read_query(mut fields: Fields<'_, '_>) -> u32 {
    let ttl_ms = fields.number("ttl_ms", Some(QUERY_TTL_DEFAULT_MS), 1..=DURATION_MAX_MS);
    fields.finish();
    ttl_ms
}

fn read_entities(fields: &mut Fields<'_, '_>) -> Vec<Entity> {
    let entries = fields.entries("entities");
    if entries.len() > ENTITIES_MAX {
        fields.reject("entities", format!("has more than {ENTITIES_MAX} entries"));
    }
    let signatures: Vec<Signature<'_>> =
        entries.iter().map(|entry| (entry.name, entity::signature(entry.value))).collect();
    let mut entities = Vec::with_capacity(entries.len());
    for entry in entries {
        let name = entry.name;
        let read = |fields| entity::read(name, fields, &signatures);
        entities.extend(fields.enter(entry).map(read));
    }
    entities
}

/// Whether it can be part of a key as it is.
fn is_name(text: &str, bytes_max: usize) -> bool {
    let legal = |byte| escape::is_safe(byte) && !matches!(byte, b'@' | b'+');
    (1..=bytes_max).contains(&text.len()) && text.bytes().all(legal)
}

fn has_upper_case(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests;
