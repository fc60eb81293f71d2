//! The store on a Redis server.
//!
//! | name | type | content |
//! |---|---|---|
//! | `N` | string | an envelope; `N` is `corral:1:digest:key` |
//! | `corral:1:lease:{N}` | string | the token that may fill `N` |
//! | `corral:1:body:{N}` | string | the body of a large value, behind its etag |
//! | `corral:1:waiters:{N}` | string | a host waits for that lease to end and wants to be told |
//! | `corral:1:tags:{T}` | sorted set | the names that carry `T`, scored by their expiry in milliseconds |
//! | `corral:1:mark:{T}` | string | `T` was invalidated a short while ago: random, node's time, epoch |
//! | `corral:1:intents:{r}` | sorted set | announced invalidations as JSON, scored by when they fall due |
//! | `corral:1:range:{r}` | hash | floors, namings in use, epochs that were watched, a version |
//! | `corral:1:hosts` | hash | the hosts that are alive |
//!
//! All have a lifetime. The braces put all names of one value on one cluster slot, and likewise those of one
//! tag. `r` is the anchor of a range of slots; a single node is one range, `0`.

mod audit;
mod calls;
mod clock;
mod cluster;
mod eviction;
mod identity;
mod intents;
mod lane;
mod link;
mod names;
mod notes;
mod pieces;
mod place;
mod ranges;
mod reply;
mod rights;
mod scripts;
mod stream;
mod tags;
mod values;
mod waiting;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::RedisResult;
use redis::aio::MultiplexedConnection;
use tokio::runtime::Handle;

use super::{
    Beat, Claim, Claimed, Confirmation, Envelope, Epoch, Filled, FloorScope, HostCard, Indexed,
    Intent, Layout, LeaseToken, LinkId, Listener, Listing, Marking, Name, Naming, Over, Prefix,
    Range, RangeId, Removed, Remover, Store, StoreError, StoreTag, Tracked,
};
pub use audit::{Audit, Untold, audit, audit_member};
use calls::has_code;
use clock::StoreClock;
pub use cluster::RedisCluster;
use eviction::Eviction;
use link::{Link, Listening};
use names::Names;
use place::StorePlace;
#[cfg(feature = "http")]
pub(crate) use reply::understands;
use scripts::Scripts;

/// The latest time that is written, in ms since the Unix epoch: the largest whole number that a sorted set's
/// score and a Lua number hold exactly, some 285 thousand years from now.
const LATEST_MS: u64 = (1 << 53) - 1;

/// A store on one Redis server, version 6.2 or newer, over three connections: one for small reads, one for
/// large values, one for everything else. Behind a name that sentinels know, the server is whichever they name.
pub struct RedisStore {
    link: Link,
    place: Arc<StorePlace>,
    names: Names,
    scripts: Scripts,
    clock: Arc<StoreClock>,
    listening: Listening,
    reading: values::Reading,
    unreadable: AtomicU64,
    /// Whether the log said last that the server does not track names.
    untracked: AtomicBool,
}

impl RedisStore {
    /// A store on the server at `url` (`redis://`, `rediss://`, `unix://` or `redis+sentinel://`), under
    /// names that begin with `prefix`. No exchange waits for longer than `budget` while the server is silent.
    /// Connects in the background: a server that is down now is used as soon as it is up. Must be called
    /// inside a tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with the reason if `url` can never work.
    pub fn connect(url: &str, prefix: Prefix, budget: Duration) -> Result<Self, StoreError> {
        let place = StorePlace::parse(url)?;
        Self::open(place, Names { prefix, layout: Layout::Single }, budget)
    }

    /// The store on one node of a cluster.
    fn member(place: StorePlace, prefix: Prefix, budget: Duration) -> Result<Self, StoreError> {
        Self::open(place, Names { prefix, layout: Layout::Slots }, budget)
    }

    fn open(place: StorePlace, names: Names, budget: Duration) -> Result<Self, StoreError> {
        let place = Arc::new(place);
        let runtime = Handle::try_current().map_err(|error| unavailable(&error))?;
        let (clock, listening) = (Arc::new(StoreClock::new()), Listening::default());
        let parts = link::LinkParts {
            place: Arc::clone(&place),
            budget,
            clock: Arc::clone(&clock),
            listening: listening.clone(),
            names: names.clone(),
        };
        Ok(Self {
            link: Link::new(&runtime, parts),
            place,
            scripts: Scripts::new(&names.settled_channel()),
            names,
            clock,
            listening,
            reading: values::Reading::default(),
            unreadable: AtomicU64::new(0),
            untracked: AtomicBool::new(false),
        })
    }

    fn count_unreadable(&self) {
        self.unreadable.fetch_add(1, Ordering::Relaxed);
    }

    async fn ask_beat(&self, ranges: &[RangeId]) -> Result<Over<Beat>, StoreError> {
        let versions = self.version_commands(ranges);
        let clock = Arc::clone(&self.clock);
        let more = async |connection: &mut MultiplexedConnection| {
            let now_ms = link::ask_time(connection, &clock).await?;
            // A range that has just moved to another node has no version here.
            let versions: Vec<RedisResult<Option<String>>> = match versions.is_empty() {
                true => Vec::new(),
                false => versions.query_async(connection).await?,
            };
            Ok((now_ms, versions))
        };
        let beat = self.link.beat(more).await?;
        if self.place.membership().is_some() && beat.answer.0.epoch.is_none() {
            let why = "the node hides its identity; allow INFO and CLUSTER INFO to this user";
            return Err(StoreError::Unavailable(why.to_owned()));
        }
        let version =
            |text: RedisResult<Option<String>>| u64::from_str_radix(&text.ok()??, 16).ok();
        Ok(beat.map(|(identity, (now_ms, versions))| Beat {
            epoch: identity.epoch,
            now_ms,
            is_primary: identity.is_primary,
            replicas: self.place.judged(identity.replicas),
            range_versions: versions.into_iter().map(|text| version(text).unwrap_or(0)).collect(),
        }))
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn get(&self, name: &Name) -> Result<Over<Option<Envelope>>, StoreError> {
        self.read_value(name).await
    }

    async fn get_tracked(&self, name: &Name) -> Result<Over<Tracked>, StoreError> {
        self.read_tracked(name).await
    }

    fn listen(&self, listener: Weak<dyn Listener>) {
        self.listening.listeners.add(listener);
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Over<Claimed>, StoreError> {
        self.claim_lease(claim).await
    }

    async fn fill(
        &self,
        name: &Name,
        token: LeaseToken,
        envelope: &Envelope,
    ) -> Result<Over<Filled>, StoreError> {
        self.write_value(name, token, envelope).await
    }

    async fn renew(
        &self,
        name: &Name,
        token: LeaseToken,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let (token, lease_ms) = (token.to_string(), lifetime_ms(lease));
        let args = [token.as_bytes(), lease_ms.as_bytes()];
        let names = [&*self.names.lease(name.as_str())];
        self.run(&self.scripts.renew, &names, &args).await.map(|over| over.answer)
    }

    async fn release(&self, name: &Name, token: LeaseToken) -> Result<bool, StoreError> {
        let (lease, waiters) = (self.names.lease(name.as_str()), self.names.waiters(name.as_str()));
        let names = [name.as_str(), &lease, &waiters];
        let args = [token.to_string()];
        let args = args.each_ref().map(String::as_bytes);
        self.run(&self.scripts.release, &names, &args).await.map(|over| over.answer)
    }

    async fn lease_left(&self, name: &Name) -> Result<Option<Duration>, StoreError> {
        let command = redis::cmd("PTTL").arg(self.names.lease(name.as_str())).take();
        let left_ms: i64 = self.send(command).await?.answer;
        // A negative number says that there is no lease.
        Ok(u64::try_from(left_ms).ok().map(Duration::from_millis))
    }

    async fn index(
        &self,
        name: &Name,
        tags: &[StoreTag],
        expires_at_ms: u64,
    ) -> Result<Over<Indexed>, StoreError> {
        self.index_name(name, tags, expires_at_ms).await
    }

    async fn remove(&self, names: &[Name]) -> Result<Over<Removed>, StoreError> {
        match self.remove_names(names).await {
            Err(StoreError::Moved) => self.remove_one_by_one(names).await,
            removed => removed,
        }
    }

    async fn walk(
        &self,
        tags: &[StoreTag],
        marking: Marking,
        remover: &dyn Remover,
    ) -> Result<Over<()>, StoreError> {
        match self.walk_indexes(tags, marking, remover).await {
            Err(StoreError::Moved) => self.walk_one_by_one(tags, marking, remover).await,
            walked => walked,
        }
    }

    async fn announce(
        &self,
        range: RangeId,
        intent: &Intent,
        hold: Duration,
    ) -> Result<Over<()>, StoreError> {
        self.write_intent(range, intent, hold).await
    }

    async fn withdraw(&self, range: RangeId, intent: &Intent) -> Result<(), StoreError> {
        self.remove_intent(range, &intent.encode()).await
    }

    async fn due(
        &self,
        ranges: &[RangeId],
        hold: Duration,
    ) -> Result<Vec<(RangeId, Intent)>, StoreError> {
        self.due_intents(ranges, hold).await
    }

    async fn settled(&self, name: &Name, at_most: Duration) {
        self.await_end(name, at_most).await;
    }

    async fn beat(&self, ranges: &[RangeId]) -> Result<Over<Beat>, StoreError> {
        self.ask_beat(ranges).await
    }

    async fn confirm(&self) -> Result<Confirmation, StoreError> {
        if let Some(place) = self.place.membership() {
            let nobody = || StoreError::Unavailable("no other node names it in its place".into());
            return Ok(Confirmation::Named { ago: place.confirmed_within().ok_or_else(nobody)? });
        }
        Ok(Confirmation::Reached(self.link.confirm().await?.epoch))
    }

    async fn relinked(&self, since: LinkId) {
        self.link.relinked(since).await;
    }

    fn relink(&self, why: &str) {
        tracing::debug!(why, "the connections to the store are opened anew");
        self.link.relink();
    }

    async fn read_ranges(&self, ranges: &[RangeId]) -> Result<Over<Vec<Range>>, StoreError> {
        self.ask_ranges(ranges).await
    }

    async fn publish(
        &self,
        ranges: &[RangeId],
        namings: &[Naming],
    ) -> Result<Over<Vec<Range>>, StoreError> {
        self.publish_namings(ranges, namings).await
    }

    async fn raise(
        &self,
        ranges: &[RangeId],
        scopes: &[FloorScope],
    ) -> Result<Over<()>, StoreError> {
        self.raise_floors(ranges, scopes).await
    }

    async fn note_watched(&self, ranges: &[RangeId], epoch: Epoch) -> Result<(), StoreError> {
        self.write_watched(ranges, epoch).await
    }

    async fn note_known(
        &self,
        range: RangeId,
        namings: &[(FloorScope, u64)],
    ) -> Result<(), StoreError> {
        self.write_known(range, namings).await
    }

    async fn enlist(&self, card: &HostCard) -> Result<Listing, StoreError> {
        self.list_host(card).await
    }

    async fn delist(&self, id: &str) -> Result<(), StoreError> {
        self.unlist_host(id).await
    }

    async fn note(&self, of: &str) -> Result<Option<Bytes>, StoreError> {
        self.read_note(of).await
    }

    async fn write_note(&self, of: &str, note: &[u8], lasts: Duration) -> Result<(), StoreError> {
        self.set_note(of, note, lasts).await
    }

    async fn replace_note(
        &self,
        of: &str,
        read: Option<&[u8]>,
        note: &[u8],
        lasts: Duration,
    ) -> Result<bool, StoreError> {
        self.exchange_note(of, read, note, lasts).await
    }

    async fn concern(&self) -> Result<Option<String>, StoreError> {
        let info: Over<String> = self.send(redis::cmd("INFO").arg("memory").take()).await?;
        let eviction = Eviction::read(&info.answer);
        Ok(eviction.and_then(|eviction| eviction.complaint().or_else(|| eviction.note())))
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    fn kind(&self) -> &'static str {
        "redis"
    }

    fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }
}

fn unavailable(error: &dyn std::error::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// A lifetime as Redis takes it: at least a millisecond, and not so long that the end overflows.
fn lifetime_ms(lifetime: Duration) -> String {
    lifetime.as_millis().clamp(1, u128::from(LATEST_MS / 2)).to_string()
}

/// Takes a value of another type than a string for one that can't be read: it is no envelope.
fn readable<T>(answer: RedisResult<Option<T>>, unreadable: impl Fn()) -> RedisResult<Option<T>> {
    match answer {
        Err(error) if has_code(&error, values::WRONG_TYPE) => {
            unreadable();
            Ok(None)
        }
        answer => answer,
    }
}
