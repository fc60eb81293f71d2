//! What makes a beat good, and for how long it counts.

use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use bytes::Bytes;

use super::*;
use crate::store::{
    Beat, Claim, Claimed, Envelope, Filled, FloorScope, HostCard, Indexed, Intent, LeaseToken,
    Listing, Marking, Name, Naming, Range, RangeId, Removed, Remover, StoreTag,
};

const EPOCH: Epoch = Epoch(7);

#[tokio::test]
async fn nothing_is_trusted_before_a_beat_and_one_good_beat_is_enough() {
    let world = World::new();
    assert!(world.trust.grant().is_none() && !world.trust.holds());
    assert!(matches!(world.ask().await, Err(StoreError::Distrusted)));
    world.is_trusted().await;
    let grant = world.trust.grant().unwrap();
    assert_eq!((grant.link, grant.epoch, grant.beat_ms), (LinkId(1), EPOCH, 1_000));
    assert_eq!(world.trust.state(), (Breaker::Closed, None));
    assert!(world.ask().await.is_ok());
}

#[tokio::test]
async fn trust_runs_out_by_the_clock_a_second_after_the_beat_was_sent() {
    let world = World::new();
    // The answer takes a while; the second counts from the question.
    world.node.takes_ms.store(400, Ordering::SeqCst);
    world.is_trusted().await;
    world.pass(599);
    assert!(world.trust.holds() && world.ask().await.is_ok());
    world.pass(1);
    assert!(!world.trust.holds() && world.trust.grant().is_none());
    assert!(matches!(world.ask().await, Err(StoreError::Distrusted)));
}

#[tokio::test]
async fn an_answer_that_arrives_after_trust_ran_out_does_not_count() {
    let world = World::new();
    world.is_trusted().await;
    let late = world.trust.ask(|_store| async {
        world.pass(1_000);
        Ok(Over { link: LinkId(1), answer: () })
    });
    assert!(matches!(late.await, Err(StoreError::Distrusted)));
}

#[tokio::test]
async fn an_answer_over_another_link_does_not_count() {
    let world = World::new();
    world.is_trusted().await;
    let other = world.trust.ask(|_store| async { Ok(Over { link: LinkId(2), answer: () }) });
    assert!(matches!(other.await, Err(StoreError::Distrusted)));
    assert!(world.trust.holds(), "that is no fault of the node's");
}

#[tokio::test]
async fn a_replica_is_refused_and_its_connections_are_replaced() {
    let world = World::new();
    world.node.change(|beat| beat.is_primary = false);
    assert!(world.refused().await.contains("the address leads to a replica"));
    assert_eq!(world.node.relinks.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_node_whose_replica_is_silent_is_refused_and_keeps_its_connections() {
    let world = World::new();
    world.node.change(|beat| beat.replicas = Replicas::Silent);
    assert!(world.refused().await.contains("a replica of the node is silent"));
    assert_eq!(world.node.relinks.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_address_that_leads_to_another_server_is_refused_with_words() {
    for elsewhere in [Some(Epoch(8)), None] {
        let world = World::new();
        world.node.leads_to(Ok(elsewhere));
        assert!(world.refused().await.contains("reaches another server"));
        assert_eq!(world.node.relinks.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_server_that_hides_its_identity_everywhere_has_one_epoch_for_ever() {
    let world = World::new();
    world.node.change(|beat| beat.epoch = None);
    world.node.leads_to(Ok(None));
    assert_eq!(world.trust.beat(&[RangeId::FIRST]).await.unwrap().epoch, Epoch(0));
}

#[tokio::test]
async fn a_confirmation_counts_for_a_second() {
    let world = World::new();
    let failed = || Err(StoreError::Unavailable("as the test wants it".to_owned()));
    world.node.leads_to(failed());
    assert!(world.refused().await.contains("no new connection could be opened"));
    world.node.leads_to(Ok(Some(EPOCH)));
    world.is_trusted().await;
    world.node.leads_to(failed());
    world.pass(1_000);
    assert!(world.trust.beat(&[RangeId::FIRST]).await.is_ok());
    world.pass(1);
    let why = world.refused().await;
    assert!(why.contains("for a second") && why.contains("as the test wants it"), "{why}");
}

#[tokio::test]
async fn connections_are_opened_anew_twice_a_second_and_no_more_often() {
    let world = World::new();
    for _ in 0..9 {
        world.trust.beat(&[RangeId::FIRST]).await.unwrap();
        world.pass(250);
    }
    assert_eq!(world.node.confirmed.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_node_without_replicas_is_used_at_once_and_one_with_replicas_is_watched_first() {
    for (replicas, watched) in [(Replicas::None, false), (Replicas::Answering, true)] {
        let world = World::new();
        world.node.change(|beat| beat.replicas = replicas);
        let good = world.trust.beat(&[RangeId::FIRST]).await.unwrap();
        let watching = world.trust.watch_epoch(&good, false);
        assert_eq!(watching == EpochWatch::UntilLater, watched, "{replicas:?}");
        assert_eq!(world.trust.state().0 == Breaker::HalfOpen, watched, "{replicas:?}");
    }
}

#[tokio::test]
async fn an_epoch_is_watched_for_the_fence_and_no_longer() {
    for (replicas, fence_ms) in [(Replicas::Answering, 4_000), (Replicas::Supervised, 2_000)] {
        let world = World::new();
        world.node.change(|beat| beat.replicas = replicas);
        assert_eq!(world.watch(false).await, EpochWatch::UntilLater);
        world.pass(fence_ms - 1);
        assert_eq!(world.watch(false).await, EpochWatch::UntilLater, "{replicas:?}");
        // A failure in between does not begin the fence anew: the epoch is the same.
        world.trust.distrust("as the test wants it");
        world.pass(1);
        assert_eq!(world.watch(false).await, EpochWatch::Over, "{replicas:?}");
        // Another epoch does.
        world.node.change(|beat| beat.epoch = Some(Epoch(8)));
        world.node.leads_to(Ok(Some(Epoch(8))));
        world.pass(500);
        assert_eq!(world.watch(false).await, EpochWatch::UntilLater);
    }
}

#[tokio::test]
async fn an_epoch_that_others_have_watched_is_used_at_once() {
    let world = World::new();
    world.node.change(|beat| beat.replicas = Replicas::Answering);
    assert_eq!(world.watch(false).await, EpochWatch::UntilLater);
    assert_eq!(world.watch(true).await, EpochWatch::Over);
}

#[tokio::test]
async fn a_failure_ends_trust_unless_the_store_has_answered_somebody_meanwhile() {
    let timeout = || StoreError::Timeout(Duration::from_millis(50));
    let world = World::new();
    world.is_trusted().await;
    let slow = world.trust.watch(|_store| async {
        world.ask().await.unwrap();
        Err::<(), _>(timeout())
    });
    slow.await.unwrap_err();
    assert!(world.trust.holds(), "one slow call is no outage");
    let refused =
        world.trust.watch(|_store| async { Err::<(), _>(StoreError::Refused("OOM".to_owned())) });
    refused.await.unwrap_err();
    assert!(world.trust.holds(), "a node that refuses answers");
    world.trust.watch(|_store| async { Err::<(), _>(timeout()) }).await.unwrap_err();
    assert!(!world.trust.holds());
    let (breaker, why) = world.trust.state();
    assert_eq!(breaker, Breaker::Open);
    assert!(why.unwrap().contains("no answer from the store"));
}

struct World {
    node: Arc<Node>,
    clock: Arc<Wound>,
    trust: Trust,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(Wound::default());
        let node = Arc::new(Node::new(&clock));
        let near = Arc::new(Near::new(0));
        let store: Arc<dyn Store> = Arc::clone(&node) as _;
        let as_clock: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let trust = Trust::new(store, None, as_clock, near);
        Self { node, clock, trust }
    }

    fn pass(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
    }

    /// A beat, judged and found good.
    async fn is_trusted(&self) {
        let good = self.trust.beat(&[RangeId::FIRST]).await.unwrap();
        assert_eq!(self.trust.watch_epoch(&good, false), EpochWatch::Over);
        self.trust.trust(&good);
    }

    /// Why a beat was not good.
    async fn refused(&self) -> String {
        self.trust.beat(&[RangeId::FIRST]).await.unwrap_err()
    }

    async fn watch(&self, is_known: bool) -> EpochWatch {
        let good = self.trust.beat(&[RangeId::FIRST]).await.unwrap();
        self.trust.watch_epoch(&good, is_known)
    }

    async fn ask(&self) -> Result<(), StoreError> {
        let ask = self.trust.ask(|_store| async { Ok(Over { link: LinkId(1), answer: () }) });
        ask.await.map(drop)
    }
}

/// A clock that stands until it is wound, in ms.
#[derive(Default)]
struct Wound(AtomicU64);

impl Clock for Wound {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// A node that says about itself what the test wants, and is asked nothing else.
struct Node {
    clock: Arc<Wound>,
    beat: Mutex<Beat>,
    leads_to: Mutex<Result<Option<Epoch>, StoreError>>,
    /// How long a beat takes.
    takes_ms: AtomicU64,
    relinks: AtomicU64,
    confirmed: AtomicU64,
}

impl Node {
    fn new(clock: &Arc<Wound>) -> Self {
        let beat = Beat {
            epoch: Some(EPOCH),
            now_ms: 1_000,
            is_primary: true,
            replicas: Replicas::None,
            range_versions: vec![1],
        };
        Self {
            clock: Arc::clone(clock),
            beat: Mutex::new(beat),
            leads_to: Mutex::new(Ok(Some(EPOCH))),
            takes_ms: AtomicU64::new(0),
            relinks: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Beat)) {
        change(&mut self.beat.lock().unwrap());
    }

    fn leads_to(&self, answer: Result<Option<Epoch>, StoreError>) {
        *self.leads_to.lock().unwrap() = answer;
    }
}

type Asked<T> = Result<T, StoreError>;

fn unasked<T>() -> Asked<T> {
    Err(StoreError::Refused("the test asks the store nothing".to_owned()))
}

#[async_trait]
impl Store for Node {
    async fn beat(&self, _: &[RangeId]) -> Result<Over<Beat>, StoreError> {
        self.clock.0.fetch_add(self.takes_ms.load(Ordering::SeqCst), Ordering::SeqCst);
        Ok(Over { link: LinkId(1), answer: self.beat.lock().unwrap().clone() })
    }

    async fn confirm(&self) -> Result<Confirmation, StoreError> {
        self.confirmed.fetch_add(1, Ordering::SeqCst);
        self.leads_to.lock().unwrap().clone().map(Confirmation::Reached)
    }

    async fn relinked(&self, _since: LinkId) {
        std::future::pending().await
    }

    fn relink(&self, _why: &str) {
        self.relinks.fetch_add(1, Ordering::SeqCst);
    }

    async fn get(&self, _: &Name) -> Result<Over<Option<Envelope>>, StoreError> {
        unasked()
    }

    async fn claim(&self, _: Claim<'_>) -> Result<Over<Claimed>, StoreError> {
        unasked()
    }

    async fn fill(&self, _: &Name, _: LeaseToken, _: &Envelope) -> Asked<Over<Filled>> {
        unasked()
    }

    async fn renew(&self, _: &Name, _: LeaseToken, _: Duration) -> Result<bool, StoreError> {
        unasked()
    }

    async fn release(&self, _: &Name, _: LeaseToken) -> Result<bool, StoreError> {
        unasked()
    }

    async fn lease_left(&self, _: &Name) -> Result<Option<Duration>, StoreError> {
        unasked()
    }

    async fn index(&self, _: &Name, _: &[StoreTag], _: u64) -> Result<Over<Indexed>, StoreError> {
        unasked()
    }

    async fn remove(&self, _: &[Name]) -> Result<Over<Removed>, StoreError> {
        unasked()
    }

    async fn walk(&self, _: &[StoreTag], _: Marking, _: &dyn Remover) -> Asked<Over<()>> {
        unasked()
    }

    async fn announce(&self, _: RangeId, _: &Intent, _: Duration) -> Result<Over<()>, StoreError> {
        unasked()
    }

    async fn withdraw(&self, _: RangeId, _: &Intent) -> Result<(), StoreError> {
        unasked()
    }

    async fn due(&self, _: &[RangeId], _: Duration) -> Result<Vec<(RangeId, Intent)>, StoreError> {
        unasked()
    }

    async fn settled(&self, _: &Name, _: Duration) {}

    async fn read_ranges(&self, _: &[RangeId]) -> Result<Over<Vec<Range>>, StoreError> {
        unasked()
    }

    async fn publish(&self, _: &[RangeId], _: &[Naming]) -> Result<Over<Vec<Range>>, StoreError> {
        unasked()
    }

    async fn raise(&self, _: &[RangeId], _: &[FloorScope]) -> Result<Over<()>, StoreError> {
        unasked()
    }

    async fn note_watched(&self, _: &[RangeId], _: Epoch) -> Result<(), StoreError> {
        unasked()
    }

    async fn note_known(&self, _: RangeId, _: &[(FloorScope, u64)]) -> Result<(), StoreError> {
        unasked()
    }

    async fn enlist(&self, _: &HostCard) -> Result<Listing, StoreError> {
        unasked()
    }

    async fn delist(&self, _: &str) -> Result<(), StoreError> {
        unasked()
    }

    async fn note(&self, _: &str) -> Result<Option<Bytes>, StoreError> {
        unasked()
    }

    async fn write_note(&self, _: &str, _: &[u8], _: Duration) -> Result<(), StoreError> {
        unasked()
    }

    fn now_ms(&self) -> u64 {
        1_000
    }

    fn kind(&self) -> &'static str {
        "scripted"
    }

    fn unreadable(&self) -> u64 {
        0
    }
}
