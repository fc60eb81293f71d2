//! One host, for use in a test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use corral_host::cache::{
    Answer, Breaker, Cache, CacheRead, Clock, Definition, Invalidated, Invalidation, ReadError,
    Resolve, WriteCall, WriteError, Wrote,
};
use corral_host::observe::Metrics;
use corral_host::origin::WriteStatement;
use corral_host::policy::{Argument, Decider, Slot};
use corral_host::store::StoreTag;
use corral_tests::declared;
use corral_tests::native::named;
use corral_tests::servers::until;
use serde_json::json;
use tokio::task::JoinHandle;

use super::scripted::Scripted;
use super::truth::{Lane, Writes};

/// The clock by which trust is measured. It stands still, so that trust ends only by a failure and
/// never by time that a busy machine takes, or a panic whose trace is written.
#[derive(Default)]
pub(super) struct Stopped(AtomicU64);

impl Stopped {
    /// Lets so much time pass at once.
    pub(super) fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Clock for Stopped {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// One host.
pub(super) struct Host {
    pub(super) cache: Arc<Cache>,
    pub(super) store: Arc<Scripted>,
    pub(super) lane: Arc<Lane>,
    pub(super) clock: Arc<Stopped>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) slot: Arc<Slot>,
    pub(super) definition: Arc<Definition>,
    pub(super) deadline: Duration,
    pub(super) keeping: JoinHandle<()>,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

pub(super) type Reading = JoinHandle<Result<Answer, ReadError>>;

impl Host {
    fn request(&self, bypass: bool) -> CacheRead {
        self.lane.clone().reading(&self.definition).bypassing(bypass)
    }

    /// A read that is not begun yet.
    pub(super) fn reading(
        &self,
    ) -> impl Future<Output = Result<Answer, ReadError>> + Send + 'static {
        let (cache, read) = (Arc::clone(&self.cache), self.request(false));
        async move { cache.read(read).await }
    }

    /// A read in a task of its own.
    pub(super) fn spawn_read(&self) -> Reading {
        tokio::spawn(self.reading())
    }

    /// A read by a caller that wants a value loaded after its request.
    pub(super) fn spawn_bypass(&self) -> Reading {
        let (cache, read) = (Arc::clone(&self.cache), self.request(true));
        tokio::spawn(async move { cache.read(read).await })
    }

    /// The version that a read answers.
    pub(super) async fn read(&self) -> u64 {
        version(&self.reading().await.unwrap())
    }

    /// A read that joins a flight in progress; returns once it has joined.
    pub(super) async fn join(&self) -> Reading {
        let before = self.coalesced();
        let reading = self.spawn_read();
        until("a reader to join", async || self.coalesced() > before).await;
        reading
    }

    /// Commits a new version through the cache, with the write of this name.
    pub(super) async fn write(&self, write: &str) -> Result<Wrote, WriteError> {
        self.writing(write).await
    }

    /// A write that is not begun yet.
    pub(super) fn writing(
        &self,
        write: &str,
    ) -> impl Future<Output = Result<Wrote, WriteError>> + Send + 'static {
        let (definition, lane) = (Arc::clone(&self.definition), Arc::clone(&self.lane));
        let truth = Arc::clone(&lane.truth);
        let read = Arc::clone(&definition);
        let resolve: Resolve = Arc::new(move |_request| Some(lane.clone().reading(&read)));
        let call = WriteCall {
            definition,
            entity: "item".to_owned(),
            write: write.to_owned(),
            arguments: vec![Argument { name: "id".to_owned(), value: Some("1".to_owned()) }],
            statement: Arc::new(WriteStatement { sql: String::new(), params: vec![] }),
            values: vec![],
            needs: vec![],
            origin: Arc::new(Writes(truth)),
            deadline: self.deadline,
            resolve,
        };
        let cache = Arc::clone(&self.cache);
        async move { cache.write(call).await }
    }

    /// Puts a policy with other settings in force.
    pub(super) fn exchange(&self, policy: Arc<dyn Decider>) {
        let newer = declared::configuration(vec![], json!({ "newer": true }));
        self.slot.activate_native(named(policy, newer));
    }

    pub(super) async fn invalidate_tag(&self, tag: &str) -> Invalidated {
        let tags = vec![StoreTag::try_new(tag).unwrap()];
        let invalidation = Invalidation { tags, ..Invalidation::default() };
        self.cache.invalidate(invalidation).await.unwrap()
    }

    /// How often the policy was called.
    pub(super) fn decisions(&self) -> u64 {
        self.slot.calls().each().map(|(_function, _result, total)| total).sum()
    }

    /// Reads that joined another's flight.
    pub(super) fn coalesced(&self) -> u64 {
        self.metric("corral_coalesced_total")
    }

    /// Claims that met another holder's lease.
    pub(super) fn held(&self) -> u64 {
        self.metric("corral_lease_total{result=\"held\"}")
    }

    /// Fills that were rejected.
    pub(super) fn rejected(&self) -> u64 {
        self.metric("corral_fill_total{result=\"rejected\"}")
    }

    pub(super) async fn until_idle(&self) {
        until("every flight to end", async || self.cache.is_idle()).await;
    }

    pub(super) async fn until_trusted(&self) {
        until("the store to be trusted", async || self.standing().0 == Breaker::Closed).await;
    }

    pub(super) async fn until_distrusted(&self) {
        until("the store to be distrusted", async || self.standing().0 != Breaker::Closed).await;
    }

    /// The breaker's state, and how many invalidations are owed.
    pub(super) fn standing(&self) -> (Breaker, usize) {
        let standing = self.cache.standing();
        (standing.store, standing.owed)
    }

    fn metric(&self, name: &str) -> u64 {
        let text = self.metrics.render(self.slot.calls().times());
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no metric {name}")).parse().unwrap()
    }
}

/// The version in an answer; 0 if there is no row.
pub(super) fn version(answer: &Answer) -> u64 {
    version_of(answer.body.as_deref())
}

pub(super) fn version_of(body: Option<&[u8]>) -> u64 {
    let Some(body) = body else { return 0 };
    let row: serde_json::Value = serde_json::from_slice(body).unwrap();
    row["version"].as_u64().unwrap()
}

/// The versions that readings answer.
pub(super) async fn versions(readings: Vec<Reading>) -> Vec<u64> {
    let mut versions = Vec::new();
    for reading in readings {
        versions.push(version(&reading.await.unwrap().unwrap()));
    }
    versions
}

/// Ends the caller of a read.
pub(super) async fn go_away(reading: Reading) {
    reading.abort();
    assert!(reading.await.is_err_and(|end| end.is_cancelled()));
}
