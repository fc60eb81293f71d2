//! An entity's definition: how its names are made, and what is in force for its values.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::config::{EntityConfig, TagTemplate};
use crate::name::{Fingerprint, Name, Place, hashed};
use crate::observe::{EntityMetrics, Metrics};
use crate::policy::{Generation, Named, Request, Slot};
use crate::read_name::ReadName;
use crate::store::{Digest, Naming, PolicyId, Prefix, RANGES, RangeId};

/// How long a naming is in use at least after a host published it: several times the interval at which the
/// host publishes it again.
const IN_USE_AT_LEAST: Duration = Duration::from_secs(30);

/// An entity's definition as the store knows it: the digest in its names, the fingerprints of its reads,
/// and the words that are in force for its values.
pub struct Definition {
    /// The entity.
    pub(super) entity: Arc<EntityConfig>,
    digest: Digest,
    prefix: Prefix,
    /// Everything that distinguishes this definition, hashed.
    seed: [u8; 32],
    words: Box<[RangeWords]>,
    /// The generation in force when this configuration was left; reads and writes of this definition stay
    /// with it, since later generations were told of other entities.
    last: OnceLock<Arc<Generation>>,
    /// Whether the statement may answer something else each time, so that readers can't share an answer.
    varies: AtomicBool,
    /// The entity's metrics, once a read has looked them up.
    metrics: OnceLock<Arc<EntityMetrics>>,
}

/// What is in force in one range.
#[derive(Default)]
struct RangeWords {
    words: ArcSwap<Vec<Word>>,
    /// The word of the policy that this host published last, which nearly every value has; 0 if there is
    /// none.
    usual: AtomicU64,
}

/// What is in force for the values that one policy names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    pub(super) policy: PolicyId,
    pub(super) word: u64,
    /// From when values may be filled, so that other hosts learn of the naming first (race J). `None` if only
    /// another host uses the naming: this one has not published it.
    pub(super) fill_from: Option<Duration>,
}

impl Word {
    fn may_be_filled(&self, now: Duration) -> bool {
        self.fill_from.is_some_and(|from| from <= now)
    }
}

impl Definition {
    /// The definition of an entity, in the names of a deployment.
    #[must_use]
    pub fn new(entity: Arc<EntityConfig>, prefix: &Prefix) -> Arc<Self> {
        let rows = format!("{:?}", entity.rows);
        let mut texts = vec![entity.name.as_str(), &rows];
        texts.push(entity.read.as_ref().map_or("", |read| &read.sql));
        let params: Vec<String> = entity.params.iter().map(param).collect();
        texts.extend(params.iter().map(String::as_str));
        texts.push("tags");
        texts.extend(entity.tags.iter().map(TagTemplate::text));
        let (digest, seed) = (Digest::of(texts.iter().copied()), hashed(texts));
        let words = (0..RANGES).map(|_| RangeWords::default()).collect();
        let (last, metrics) = (OnceLock::new(), OnceLock::new());
        let (prefix, varies) = (prefix.clone(), AtomicBool::new(false));
        Arc::new(Self { entity, digest, prefix, seed, words, last, varies, metrics })
    }

    /// Whether, from now on, each reader has a load of its own, of which nothing is kept.
    pub fn set_varies(&self, varies: bool) {
        self.varies.store(varies, Ordering::Relaxed);
    }

    pub(super) fn varies(&self) -> bool {
        self.varies.load(Ordering::Relaxed)
    }

    /// Where the definition's reads are counted.
    pub(super) fn metrics(&self, of_host: &Metrics) -> &EntityMetrics {
        self.metrics.get_or_init(|| of_host.entity(&self.entity.name))
    }

    /// The generation that decides the definition's reads and writes.
    pub(super) fn generation(&self, slot: &Slot) -> Arc<Generation> {
        // The slot is asked first. A reader that finds a generation there which was told of other entities
        // then also finds `last`, which is set before such a generation comes into force.
        let current = slot.current();
        self.last().map_or(current, Arc::clone)
    }

    /// The generation that the definition's reads and writes stay with, if its configuration was left. To be
    /// asked after the slot: see [`Definition::generation`].
    pub(super) fn last(&self) -> Option<&Arc<Generation>> {
        self.last.get()
    }

    /// The definition's configuration is left: its reads and writes stay with this generation.
    pub(super) fn leave_with(&self, last: &Arc<Generation>) {
        let _left_before = self.last.set(Arc::clone(last));
    }

    /// What distinguishes this definition from other definitions of the entity.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Where the value of a read lies, by the plan that a policy made for it; computed once per plan.
    pub(super) fn place<'n>(&self, read: &ReadName, named: &'n Named) -> &'n Place {
        named.place.get_or_init(|| Place {
            name: Name::new(&self.prefix, &self.digest, &named.key),
            fingerprint: self.fingerprint(read),
        })
    }

    /// Where the value of `request` lies, without remembering it in the plan: for inspection.
    #[must_use]
    pub fn place_of(&self, request: &Request, named: &Named) -> Place {
        let values = request.arguments.iter().map(|argument| argument.value.as_deref());
        let read = ReadName::new(&self.entity.name, values);
        let name = Name::new(&self.prefix, &self.digest, &named.key);
        Place { name, fingerprint: self.fingerprint(&read) }
    }

    fn fingerprint(&self, read: &ReadName) -> Fingerprint {
        let hash = read.hashed(&self.seed);
        Fingerprint::of_read(
            hash.iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte)),
        )
    }

    /// The naming of this definition under a policy.
    pub(super) fn naming(&self, policy: PolicyId) -> Naming {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Naming {
            digest: self.digest.clone(),
            policy,
            entity: self.entity.name.clone(),
            params: self.entity.params.iter().map(param).collect(),
            lasts_ms: millis(self.entity.terms().kept_at_most().max(IN_USE_AT_LEAST)),
            deadline_ms: millis(self.entity.load_limit),
        }
    }

    /// Whether this word is in force in a range.
    pub(super) fn is_in_force(&self, range: RangeId, word: u64) -> bool {
        let RangeWords { words, usual } = &self.words[range.index()];
        let is_usual = word == usual.load(Ordering::Acquire) && word != 0;
        is_usual || words.load().iter().any(|known| known.word == word)
    }

    /// From now on these words are in force in a range, and no others.
    pub(super) fn enforce(&self, range: usize, words: Vec<Word>, published: PolicyId) {
        let of_range = &self.words[range];
        let usual = words.iter().find(|word| word.policy == published).map_or(0, |word| word.word);
        of_range.usual.store(usual, Ordering::Release);
        of_range.words.store(Arc::new(words));
    }

    /// Whether what is loaded under this policy may be filled by now, in every range that was read.
    pub(super) fn may_be_filled(&self, policy: PolicyId, now: Duration) -> bool {
        let is = |known: &Word| known.policy == policy && known.may_be_filled(now);
        let mut read = self.words.iter().map(|of_range| of_range.words.load());
        let is_filled = |words: &Vec<Word>| words.is_empty() || words.iter().any(is);
        let is_read = self.words.iter().any(|of_range| !of_range.words.load().is_empty());
        is_read && read.all(|words| is_filled(&words))
    }

    /// Whether this host has published the naming under this policy in a range.
    pub(super) fn is_published(&self, range: RangeId, policy: PolicyId) -> bool {
        let is = |known: &Word| known.policy == policy && known.fill_from.is_some();
        self.words[range.index()].words.load().iter().any(is)
    }

    /// The word of the floors under which a load begins now in a range; `None` if its value may not be
    /// filled.
    pub(super) fn word(&self, range: RangeId, policy: PolicyId, now: Duration) -> Option<u64> {
        let words = self.words[range.index()].words.load();
        let known = words.iter().find(|known| known.policy == policy)?;
        known.may_be_filled(now).then_some(known.word)
    }
}

/// `id:int8`
fn param(param: &crate::config::Param) -> String {
    format!("{}:{}", param.name, param.ty)
}

#[cfg(test)]
pub(super) mod tests;
