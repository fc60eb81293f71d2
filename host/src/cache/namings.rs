//! Makes the names of targets, under every naming that is in use on any host (race J).
//!
//! A target says what became untrue. Its names are made from the namings of the last beat when the
//! invalidation is sent, and again when it is repeated. Where the names of a naming in use can't be made here
//! (another policy, other parameters), its floor is raised instead: that costs an entity's hits, never the
//! truth.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::policy::{Argument, Generation, Request, Slot, Subject};
use crate::store::{
    Digest, FloorScope, IntentTarget, Name, Naming, PolicyId, Prefix, StoreKey, StoreTag,
};

use super::definition::Definition;
use super::stamps::Stamps;

/// What an invalidation sends; the lists are sorted.
#[derive(Debug, Default)]
pub(super) struct InvalidationNames {
    pub(super) names: Vec<Name>,
    pub(super) tags: Vec<StoreTag>,
    /// Floors to raise.
    pub(super) scopes: Vec<FloorScope>,
}

impl InvalidationNames {
    /// The part of these names that was not sent before.
    pub(super) fn beyond(&self, sent: &Self) -> Self {
        Self {
            names: beyond(&self.names, &sent.names),
            tags: beyond(&self.tags, &sent.tags),
            scopes: beyond(&self.scopes, &sent.scopes),
        }
    }
}

fn beyond<T: Ord + Clone>(all: &[T], sent: &[T]) -> Vec<T> {
    all.iter().filter(|one| sent.binary_search(one).is_err()).cloned().collect()
}

/// Makes names of targets.
pub(super) struct Namer<'a> {
    prefix: &'a Prefix,
    definitions: Vec<Arc<Definition>>,
    namings: Arc<Vec<Naming>>,
    /// Namings that a range has lost and that other hosts may still use.
    lost: Vec<Naming>,
    /// The generation in force, and every other one that has keys which may still live.
    generations: Vec<Arc<Generation>>,
}

/// A read's entity and arguments, as a target holds them.
type ReadParts<'t> = (&'t str, &'t [(String, Option<String>)]);

impl<'a> Namer<'a> {
    /// A namer for the namings, definitions and generations in use at this moment.
    pub(super) fn new(prefix: &'a Prefix, stamps: &'a Stamps, slot: &Slot, now: Duration) -> Self {
        let (definitions, namings) = (stamps.in_use().definitions, stamps.namings());
        let (lost, generations) = (stamps.lost(now), slot.naming());
        Self { prefix, definitions, namings, lost, generations }
    }

    fn in_use(&self) -> impl Iterator<Item = &Naming> {
        self.namings.iter().chain(&self.lost)
    }

    /// The names of these targets, each once.
    pub(super) fn names<'t>(
        &self,
        targets: impl IntoIterator<Item = &'t IntentTarget>,
    ) -> InvalidationNames {
        let (mut names, mut tags, mut scopes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for target in targets {
            match target {
                IntentTarget::Tag(tag) => _ = tags.insert(tag.clone()),
                IntentTarget::Key(key) => names.extend(self.of_key(key)),
                IntentTarget::Read { entity, arguments } => {
                    self.of_read((entity, arguments), &mut names, &mut scopes);
                }
            }
        }
        InvalidationNames {
            names: names.into_iter().collect(),
            tags: tags.into_iter().collect(),
            scopes: scopes.into_iter().collect(),
        }
    }

    /// A key's names under every definition, since the key does not tell its entity.
    fn of_key(&self, key: &StoreKey) -> BTreeSet<Name> {
        let ours = self.definitions.iter().map(|definition| definition.digest());
        let all: BTreeSet<&Digest> =
            self.in_use().map(|naming| &naming.digest).chain(ours).collect();
        all.into_iter().map(|digest| Name::new(self.prefix, digest, key)).collect()
    }

    fn of_read(
        &self,
        read: ReadParts<'_>,
        names: &mut BTreeSet<Name>,
        scopes: &mut BTreeSet<FloorScope>,
    ) {
        for naming in self.of_entity(read.0) {
            match self.key(&naming, read) {
                Some(key) => _ = names.insert(Name::new(self.prefix, &naming.digest, &key)),
                None => _ = scopes.insert(naming.scope()),
            }
        }
    }

    /// The namings of an entity that are in use, and all those of this host, in use or not.
    fn of_entity(&self, entity: &str) -> Vec<Naming> {
        let mut namings: Vec<Naming> =
            self.in_use().filter(|naming| naming.entity == entity).cloned().collect();
        for definition in self.definitions.iter().filter(|d| d.entity.name == entity) {
            for generation in &self.generations {
                let ours = definition.naming(generation.policy_id());
                if !namings.iter().any(|known| known.scope() == ours.scope()) {
                    namings.push(ours);
                }
            }
        }
        namings
    }

    /// The key of a read under a naming; `None` if this host can't make it.
    fn key(&self, naming: &Naming, (entity, arguments): ReadParts<'_>) -> Option<StoreKey> {
        let generation = self.generation(naming.policy)?;
        let is_ours = |definition: &&Arc<Definition>| {
            let is_of = definition.entity.name == entity;
            is_of && definition.naming(naming.policy).params == naming.params
        };
        self.definitions.iter().find(is_ours)?;
        let argument = |(name, value): &(String, Option<String>)| Argument {
            name: name.clone(),
            value: value.clone(),
        };
        let request = Request {
            subject: Subject::Entity(entity.to_owned()),
            arguments: arguments.iter().map(argument).collect(),
        };
        // A trap may be the fault of the instance and not of the policy, so another instance is asked before
        // the floor is raised.
        let answer = generation.name(&request).or_else(|_trap| generation.name(&request));
        Some(answer.ok()?.ok()?.key.clone())
    }

    fn generation(&self, policy: PolicyId) -> Option<&Arc<Generation>> {
        self.generations.iter().find(|generation| generation.policy_id() == policy)
    }
}

/// A request as a target; `None` for an ad-hoc query, which no target can name.
pub(super) fn target(request: Request) -> Option<IntentTarget> {
    let Subject::Entity(entity) = request.subject else { return None };
    let arguments = request.arguments.into_iter().map(|a| (a.name, a.value)).collect();
    Some(IntentTarget::Read { entity, arguments })
}

#[cfg(test)]
mod tests;
