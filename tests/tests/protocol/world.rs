//! Hosts over one store and one origin, in one process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use corral_host::cache::{Cache, CacheParts, Clock, Definition, LoadLimit, SystemEntropy};
use corral_host::config::{EntityConfig, Param};
use corral_host::observe::Metrics;
use corral_host::origin::{ParamType, Rows};
use corral_host::policy::{self, Configuration, Decider, Slot};
use corral_host::store::{
    Envelope, LeaseToken, MemoryStore, Name, Prefix, SingleNode, Store, StoreKey,
};
use corral_tests::declared;
use corral_tests::native::{Native, named};
use corral_tests::servers::until;
use serde_json::json;

use super::host::{Host, Stopped, version_of};
use super::scripted::{Fault, Scripted, seize};
use super::truth::{Lane, Truth};

/// The only key in these tests, as the default policy names it.
const KEY: &str = "v1:item:1";

/// Room for everything that a test reads.
const NEAR_BYTES: u64 = 1 << 20;

/// A limit that only failing tests reach.
const SOON: Duration = Duration::from_secs(15);

/// The terms of the item, without jitter, so that a test can predict lifetimes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) ttl: Duration,
    pub(super) stale_while_revalidate: Duration,
    pub(super) stale_if_error: Duration,
    pub(super) lease: Duration,
    pub(super) deadline: Duration,
    /// The limit of a load that outlasts its readers, if it is longer than their deadline.
    pub(super) load_limit: Duration,
    /// Whether the item carries its team's tag, which depends on the loaded row.
    pub(super) team_tag: bool,
    /// How long a near cache may answer.
    pub(super) near: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(60),
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            lease: Duration::from_secs(1),
            deadline: Duration::from_secs(10),
            load_limit: Duration::ZERO,
            team_tag: false,
            near: Duration::ZERO,
        }
    }
}

/// What the hosts share.
pub(super) struct World {
    pub(super) terms: Terms,
    pub(super) memory: Arc<MemoryStore>,
    pub(super) truth: Arc<Truth>,
}

impl Default for World {
    fn default() -> Self {
        Self::new(Terms::default())
    }
}

impl World {
    pub(super) fn new(terms: Terms) -> Self {
        Self { terms, memory: Arc::default(), truth: Truth::new() }
    }

    /// A host that trusts its store.
    pub(super) async fn host(&self) -> Host {
        self.build(Arc::new(self.native()), None, &self.truth).await
    }

    pub(super) async fn faulty_host(&self, fault: Fault) -> Host {
        self.build(Arc::new(self.native()), Some(fault), &self.truth).await
    }

    pub(super) async fn host_with(&self, policy: Arc<dyn Decider>) -> Host {
        self.build(policy, None, &self.truth).await
    }

    /// The item's name in the store.
    pub(super) fn name(&self) -> Name {
        let definition = Definition::new(Arc::new(item(&self.terms)), &Prefix::default());
        Name::new(&Prefix::default(), definition.digest(), &StoreKey::try_new(KEY).unwrap())
    }

    pub(super) fn native(&self) -> Native {
        let terms = &self.terms;
        let ms = |duration: Duration| duration.as_millis() as u32;
        let mut tags = vec!["item:{id}"];
        if terms.team_tag {
            tags.push("team:{row.team}");
        }
        let kept = policy::Terms {
            ttl_ms: ms(terms.ttl),
            negative_ttl_ms: 10_000,
            stale_while_revalidate_ms: ms(terms.stale_while_revalidate),
            stale_if_error_ms: ms(terms.stale_if_error),
        };
        let mut item = declared::entity("item", &["id"], &tags, kept);
        item.writes = vec![
            declared::write("put", &["id"], policy::Way::Removed, &["item(id)"]),
            declared::write("refresh", &["id"], policy::Way::Refreshed, &["item(id)"]),
        ];
        let settings = json!({ "jitter": 0, "early_refresh": 0, "lease_ms": ms(terms.lease) });
        Native::try_new(&declared::configuration(vec![item], settings)).unwrap()
    }

    async fn build(
        &self,
        policy: Arc<dyn Decider>,
        fault: Option<Fault>,
        truth: &Arc<Truth>,
    ) -> Host {
        let store = Scripted::new(Arc::clone(&self.memory), fault);
        let metrics = Arc::new(Metrics::new(["item"]));
        let clock = Arc::new(Stopped::default());
        let slot = Arc::new(Slot::native(named(policy, Configuration::default())));
        let as_store: Arc<dyn Store> = Arc::clone(&store) as _;
        let definition = Definition::new(Arc::new(item(&self.terms)), &Prefix::default());
        let cache = Arc::new(Cache::new(CacheParts {
            store: Arc::new(SingleNode::new(as_store)),
            prefix: Prefix::default(),
            definitions: vec![Arc::clone(&definition)],
            origin: None,
            slot: Arc::clone(&slot),
            metrics: Arc::clone(&metrics),
            entropy: Arc::new(SystemEntropy),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            loads: LoadLimit { at_once: 100, is_shared: false },
            near_bytes: NEAR_BYTES,
        }));
        let kept = Arc::clone(&cache);
        let keeping = tokio::spawn(async move { kept.keep_trust().await });
        let lane = Lane::new(truth);
        let deadline = self.terms.deadline;
        let host = Host { cache, store, lane, clock, metrics, slot, definition, deadline, keeping };
        host.until_trusted().await;
        host
    }

    /// Puts a version into the store as another host would have. It is fresh for `fresh_ms` or, if
    /// that is negative, has been stale for so long; it is kept for another minute.
    pub(super) async fn plant(&self, version: u64, fresh_ms: i64) {
        let name = self.name();
        let filled = self.filled_elsewhere(version).await;
        let now_ms = self.memory.now_ms();
        let fresh_until_ms = now_ms.saturating_add_signed(fresh_ms);
        let envelope = Envelope {
            loaded_at_ms: now_ms - 100_000,
            refresh_at_ms: fresh_until_ms,
            fresh_until_ms,
            stale_until_ms: now_ms + 60_000,
            ..filled
        };
        let token = self.take_lease(Duration::from_secs(60)).await;
        self.memory.fill(&name, token, &envelope).await.unwrap();
    }

    /// The envelope that another host, whose origin has this version, leaves in the store.
    async fn filled_elsewhere(&self, version: u64) -> Envelope {
        let host = self.build(Arc::new(self.native()), None, &Truth::at(version)).await;
        assert_eq!(host.read().await, version, "something is in the store already");
        self.memory.get(&self.name()).await.unwrap().answer.unwrap()
    }

    /// Takes the lease from any holder, as a host would that then dies or, if the test gives the
    /// lease back with the token, that lives.
    pub(super) async fn take_lease(&self, lease: Duration) -> LeaseToken {
        let token = LeaseToken::new(rand::random());
        seize(&self.memory, &self.name(), token, lease).await;
        token
    }

    /// Removes the value and leaves the lease with its holder.
    pub(super) async fn forget_value(&self, token: LeaseToken) {
        self.memory.remove(&[self.name()]).await.unwrap();
        seize(&self.memory, &self.name(), token, Duration::from_secs(3_600)).await;
    }

    /// The version in the store; `None` if there is no value.
    pub(super) async fn stored(&self) -> Option<u64> {
        let envelope = self.memory.get(&self.name()).await.unwrap().answer?;
        Some(version_of(envelope.body.as_deref()))
    }

    /// Waits until so much time has passed on the store's clock.
    pub(super) async fn pass(&self, time: Duration) {
        let until_ms = self.memory.now_ms() + time.as_millis() as u64;
        until("time to pass", async || self.memory.now_ms() >= until_ms).await;
    }
}

/// Gives back a lease that the test took.
pub(super) async fn give_back(world: &World, token: LeaseToken) {
    assert!(world.memory.release(&world.name(), token).await.unwrap());
}

pub(super) async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(SOON, event).await {
        Ok(done) => done,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

fn item(terms: &Terms) -> EntityConfig {
    EntityConfig {
        name: "item".to_owned(),
        params: vec![Param { name: "id".to_owned(), ty: "int8".parse::<ParamType>().unwrap() }],
        read: None,
        rows: Rows::One,
        ttl: terms.ttl,
        stale_while_revalidate: terms.stale_while_revalidate,
        stale_if_error: terms.stale_if_error,
        negative_ttl: Duration::from_secs(10),
        tags: vec![],
        depends: vec![],
        deadline: terms.deadline,
        load_limit: terms.load_limit.max(terms.deadline),
        near: terms.near,
        cache_control: None,
        writes: BTreeMap::new(),
    }
}
