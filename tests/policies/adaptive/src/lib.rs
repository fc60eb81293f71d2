//! adaptive: a value lives as long as its history and its cost say, at most as configured. All
//! other decisions are the built-in policy's.
//!
//! A row that has just changed is likely to change again, and a row that has not changed for a
//! while is likely not to. A policy keeps no state, but the store does: when a load replaces a
//! value, that value was there until now, so it was not invalidated since it was loaded. Each time
//! a value survives, the next value lives longer. A write removes a value, and the next value,
//! about which nothing is known, begins with a short life again. (The Alex protocol: V. Cate,
//! "Alex, a Global Filesystem", USENIX File Systems Workshop, 1992; RFC 9111, 4.2.2, has it for
//! HTTP.)
//!
//! With `t` the entity's `ttl`, `c` the cost of the load and `a` the age of the value that it
//! replaces (0 if there was none):
//!
//! ```text
//! first    = t · (least + (1 − least) · c / (c + dear_ms))
//! lifetime = min(t, max(first, GROWTH · a)) ± jitter
//! ```
//!
//! So a cheap value begins at `least` of its `ttl`, a value that takes `dear_ms` to load halfway
//! between that and the whole `ttl`, and both reach the whole `ttl` after a few lives without a
//! write. A change that Corral does not learn of makes a value wrong for as long as it lives: that
//! is short for rows that change often, and for other rows it hardly matters.

use std::collections::BTreeMap;

use corral_core::{Entity, Event, Kept, LoadReport, Manifest, Objection, Policy, Rules};
use serde::Deserialize;

/// A value that survived is trusted for twice its age.
const GROWTH: u32 = 2;

/// The name in `adaptive` that stands for entities that are not named there, and for queries.
const OTHERS: &str = "*";

/// The rules of this policy, as its settings spell them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Adaptive {
    /// By entity; `*` is for those that are not named, and for queries.
    adaptive: BTreeMap<String, Adaption>,
}

/// How far an entity's lifetimes adapt.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Adaption {
    /// The life of a cheap value about which nothing is known, as a fraction of its `ttl`.
    least: f64,
    /// The cost of a load at which a value lives longer by half of the rest.
    dear_ms: f64,
}

impl Default for Adaption {
    fn default() -> Self {
        Self { least: 0.125, dear_ms: 100.0 }
    }
}

impl Rules for Adaptive {
    const SETTINGS: &'static [&'static str] = &["adaptive"];

    fn manifest() -> Manifest {
        corral_core::manifest!()
    }

    fn configure(entities: &[Entity], settings: &str) -> Result<Self, Vec<Objection>> {
        let rules: Self = serde_json::from_str(settings)
            .map_err(|error| vec![Objection::to_setting("adaptive", error.to_string())])?;
        let named = rules.adaptive.iter();
        let objections: Vec<_> =
            named.flat_map(|(name, rule)| rule.check(name, entities)).collect();
        if objections.is_empty() { Ok(rules) } else { Err(objections) }
    }

    /// The age of the value that this flight may replace. That a row did not exist says nothing
    /// about how often the row changes.
    fn noted(&self, note: u32, event: &Event) -> u32 {
        match event {
            Event::Found(seen) if !seen.negative => seen.age_ms,
            _ => note,
        }
    }

    fn ttl_ms(&self, kept: &Kept<'_>, load: &LoadReport) -> u32 {
        let Adaption { least, dear_ms } = self.adaption(kept.entity);
        let (ttl_ms, survived_ms) = (kept.terms.ttl_ms, kept.note);
        let dear = f64::from(load.cost_ms) / (f64::from(load.cost_ms) + dear_ms);
        let first_ms = f64::from(ttl_ms) * (least + (1.0 - least) * dear);
        (first_ms as u32).max(survived_ms.saturating_mul(GROWTH)).min(ttl_ms)
    }
}

impl Adaptive {
    fn adaption(&self, entity: Option<&Entity>) -> Adaption {
        let own = entity.and_then(|entity| self.adaptive.get(&entity.name));
        own.or_else(|| self.adaptive.get(OTHERS)).copied().unwrap_or_default()
    }
}

impl Adaption {
    fn check(&self, name: &str, entities: &[Entity]) -> Vec<Objection> {
        let Self { least, dear_ms } = *self;
        let known = name == OTHERS || entities.iter().any(|entity| entity.name == name);
        let legal = least > 0.0 && least <= 1.0 && dear_ms > 0.0 && dear_ms.is_finite();
        let rules = [
            (known, "is no entity"),
            (legal, "needs `least` above 0, at most 1, and `dear_ms` above 0"),
        ];
        let broken = rules.into_iter().filter(|(holds, _)| !holds);
        broken.map(|(_, rule)| Objection::to_setting(format!("adaptive.{name}"), rule)).collect()
    }
}

corral_core::export!(Policy<Adaptive>);

#[cfg(test)]
mod tests;
