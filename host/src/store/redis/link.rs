//! The link: the connections to the server, opened and replaced together, and the time budget of every
//! exchange.
//!
//! One connection carries small reads only, one large values ([`Lane`]), and one everything else and the
//! pushes of the server. All of them reach the same server in one life of it, or none is used. A task of its
//! own ([`Keeper`]) opens them, notices when one breaks, and opens the next ones. Callers use the link that
//! is open at the moment. While the first attempt since a break is under way, callers wait within their
//! budget; while the server is known to be down, they get an error at once.

mod keeper;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{timeout, timeout_at};

use super::clock::StoreClock;
use super::identity::Identity;
use super::lane::{Lane, Replied};
use super::names::Names;
use super::place::StorePlace;
use crate::store::listeners::Listeners;
use crate::store::waiters::Waiters;
use crate::store::{LinkId, Over, StoreError};
use keeper::Keeper;

/// How long opening a connection may take, TLS and greeting included: several round trips to another
/// continent, and still only half a second from the server's return to its use.
const OPEN_LIMIT: Duration = Duration::from_millis(500);

/// How many exchanges of one operation are under way at a time. With a chunk of commands each, they are so
/// few that the server is never held for longer than a few milliseconds, and so many that the round trip is
/// small beside the work.
const AT_ONCE: usize = 16;

/// The connections and the task that keeps them; the task ends when the link is dropped.
pub(super) struct Link {
    place: Arc<StorePlace>,
    budget: Duration,
    status: watch::Receiver<LinkStatus>,
    keeper: JoinHandle<()>,
}

enum LinkStatus {
    /// The first attempt since the last break is under way.
    Opening,
    Open(OpenLink),
    /// The last attempt failed for this reason, and the next one follows.
    Down(StoreError),
}

#[derive(Clone)]
pub(super) struct OpenLink {
    pub(super) id: LinkId,
    pub(super) connection: MultiplexedConnection,
    /// The connection for small reads.
    lane: Arc<Lane>,
    /// The connection for large values, in both directions.
    large: Arc<Lane>,
    /// The server that all connections reached when they were opened.
    identity: Identity,
    /// Notified when the connections have to be replaced.
    broken: Arc<Notify>,
    /// Whether the server pushes the ends of leases.
    pushes: bool,
    /// Whether the server pushes changes of names that it is asked to track.
    tracks: bool,
    /// Whether the next beat also asks over the lane for small reads, as every second one does. The lane for
    /// large values is not asked: what it brings is tied to what came over this one.
    lane_is_due: Arc<AtomicBool>,
}

/// The receivers of the server's pushes.
#[derive(Clone, Default)]
pub(super) struct Listening {
    pub(super) waiters: Arc<Waiters>,
    pub(super) listeners: Arc<Listeners>,
}

/// What a link is made of.
pub(super) struct LinkParts {
    pub(super) place: Arc<StorePlace>,
    pub(super) budget: Duration,
    pub(super) clock: Arc<StoreClock>,
    pub(super) listening: Listening,
    pub(super) names: Names,
}

impl Link {
    /// Starts the task that connects, and does not wait for it.
    pub(super) fn new(runtime: &Handle, parts: LinkParts) -> Self {
        let (announce, status) = watch::channel(LinkStatus::Opening);
        let (place, budget) = (Arc::clone(&parts.place), parts.budget);
        let keeper = Keeper { parts, announce };
        Self { place, budget, status, keeper: runtime.spawn(keeper.run()) }
    }

    /// Sends one command over the connection for small reads.
    pub(super) async fn ask(
        &self,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Over<super::reply::Reply>, StoreError> {
        self.ask_over(write, |open| &open.lane).await
    }

    /// Sends one command over the connection for large values.
    pub(super) async fn ask_large(
        &self,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Over<super::reply::Reply>, StoreError> {
        self.ask_over(write, |open| &open.large).await
    }

    async fn ask_over(
        &self,
        write: impl FnOnce(&mut Vec<u8>),
        lane: impl Fn(&OpenLink) -> &Arc<Lane>,
    ) -> Result<Over<super::reply::Reply>, StoreError> {
        let mut write = Some(write);
        let standing = match &*self.status.borrow() {
            LinkStatus::Open(open) => write.take().map(|write| (open.id, lane(open).ask(write))),
            LinkStatus::Opening | LinkStatus::Down(_) => None,
        };
        let (link, answered) = match (standing, write) {
            (Some(standing), _) => standing,
            (None, write) => {
                // Boxed, so that the usual call, which finds the link open, does not carry this future.
                let opened = Box::pin(timeout(self.budget, self.open())).await;
                let open = opened.map_err(|_| StoreError::Timeout(self.budget))??;
                (open.id, lane(&open).ask(|commands| write.into_iter().for_each(|w| w(commands))))
            }
        };
        let replaced = |_| StoreError::Unavailable("the connection was replaced".to_owned());
        let answer: Replied = answered.await.map_err(replaced)?;
        answer.map(|answer| Over { link, answer })
    }

    /// One exchange with the server, within the budget; it may consist of several commands.
    pub(super) async fn exchange<T, F>(
        &self,
        talk: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<Over<T>, StoreError>
    where
        F: Future<Output = RedisResult<T>>,
    {
        self.exchange_tracked(|connection, _tracks| talk(connection)).await
    }

    /// Like [`Link::exchange`]; `talk` is told whether the server tracks names for this connection.
    pub(super) async fn exchange_tracked<T, F>(
        &self,
        talk: impl FnOnce(MultiplexedConnection, bool) -> F,
    ) -> Result<Over<T>, StoreError>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let over = || StoreError::Timeout(self.budget);
        let deadline = tokio::time::Instant::now() + self.budget;
        let OpenLink { id, connection, broken, tracks, .. } =
            timeout_at(deadline, self.open()).await.map_err(|_| over())??;
        match timeout_at(deadline, talk(connection, tracks)).await {
            Ok(Ok(answer)) => Ok(Over { link: id, answer }),
            Ok(Err(error)) if error.is_io_error() || is_no_primary(&error) => {
                broken.notify_one();
                Err(StoreError::Unavailable(error.to_string()))
            }
            Ok(Err(error)) if has_moved(&error) => Err(StoreError::Moved),
            Ok(Err(error)) => Err(StoreError::Refused(error.to_string())),
            // The connection stays: if it is stuck, the next beat finds out.
            Err(_) => Err(over()),
        }
    }

    /// Exchanges of which none needs the answer of another, [`AT_ONCE`] under way at a time, over one link.
    /// The budget bounds the silence between two answers, so that many exchanges are not taken for an outage.
    pub(super) async fn exchange_each<'t, T>(
        &self,
        talks: impl FnOnce(MultiplexedConnection) -> Vec<BoxFuture<'t, RedisResult<T>>>,
    ) -> Result<Over<Vec<T>>, StoreError> {
        let over = |_| StoreError::Timeout(self.budget);
        let OpenLink { id, connection, broken, .. } =
            timeout(self.budget, self.open()).await.map_err(over)??;
        let mut answering = stream::iter(talks(connection)).buffered(AT_ONCE);
        let mut answers = Vec::new();
        while let Some(answer) = timeout(self.budget, answering.next()).await.map_err(over)? {
            match answer {
                Ok(answer) => answers.push(answer),
                Err(error) if error.is_io_error() || is_no_primary(&error) => {
                    broken.notify_one();
                    return Err(StoreError::Unavailable(error.to_string()));
                }
                Err(error) if has_moved(&error) => return Err(StoreError::Moved),
                Err(error) => return Err(StoreError::Refused(error.to_string())),
            }
        }
        Ok(Over { link: id, answer: answers })
    }

    /// What the server says about itself now, over every connection that is due, and what `more` asks in
    /// addition.
    pub(super) async fn beat<T>(
        &self,
        more: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<Over<(Identity, T)>, StoreError> {
        let mut open = timeout(self.budget, self.open())
            .await
            .map_err(|_| StoreError::Timeout(self.budget))??;
        let lane_is_due = open.lane_is_due.fetch_not(Ordering::Relaxed);
        let asking = async {
            let mut connection = open.connection.clone();
            let main = async {
                let identity = ask_identity(&mut connection, self.place.is_member()).await?;
                Ok::<_, RedisError>((identity, more(&mut open.connection).await?))
            };
            let lane = async {
                if !lane_is_due {
                    return Ok(None);
                }
                Identity::ask(&open.lane, self.place.is_member()).await.map(Some)
            };
            tokio::join!(main, lane)
        };
        let Ok((main, lane)) = timeout(OPEN_LIMIT, asking).await else {
            open.broken.notify_one();
            return Err(StoreError::Timeout(OPEN_LIMIT));
        };
        let broken = |error: RedisError| {
            if has_moved(&error) {
                return StoreError::Moved;
            }
            open.broken.notify_one();
            StoreError::Unavailable(error.to_string())
        };
        let (identity, more) = main.map_err(broken)?;
        let lane = lane?;
        let mut seen = std::iter::once(&identity).chain(&lane);
        if let Some(other) = seen.find(|seen| !seen.is_same(&open.identity)) {
            open.broken.notify_one();
            return Err(StoreError::Unavailable(changed(&open.identity, other)));
        }
        Ok(Over { link: open.id, answer: (identity, more) })
    }

    /// The identity of the server that a new connection reaches, through the place as it leads now.
    pub(super) async fn confirm(&self) -> Result<Identity, StoreError> {
        Identity::ask_anew(&self.place, OPEN_LIMIT).await
    }

    /// Returns when a link other than `since` is open.
    pub(super) async fn relinked(&self, since: LinkId) {
        let mut status = self.status.clone();
        let another =
            |status: &LinkStatus| matches!(status, LinkStatus::Open(open) if open.id != since);
        if status.wait_for(another).await.is_err() {
            // The connection's task has ended: there will be no other link.
            std::future::pending::<()>().await;
        }
    }

    /// Replaces the connections.
    pub(super) fn relink(&self) {
        if let LinkStatus::Open(open) = &*self.status.borrow() {
            open.broken.notify_one();
        }
    }

    /// What an error of the server means that came over a lane.
    pub(super) fn refusal(&self, error: String) -> StoreError {
        let code = error.split(' ').next().unwrap_or_default();
        if MOVED.contains(&code) {
            return StoreError::Moved;
        }
        if !NO_PRIMARY.contains(&code) {
            return StoreError::Refused(error);
        }
        self.relink();
        StoreError::Unavailable(error)
    }

    /// Whether the server pushes the ends of leases at present.
    pub(super) fn pushes(&self) -> bool {
        matches!(&*self.status.borrow(), LinkStatus::Open(open) if open.pushes)
    }

    async fn open(&self) -> Result<OpenLink, StoreError> {
        let mut status = self.status.clone();
        loop {
            match &*status.borrow_and_update() {
                LinkStatus::Opening => {}
                LinkStatus::Open(open) => return Ok(open.clone()),
                LinkStatus::Down(reason) => return Err(reason.clone()),
            }
            if status.changed().await.is_err() {
                return Err(StoreError::Unavailable("the connection's task has ended".to_owned()));
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// The codes by which a server says that it is not a working primary: another one may have taken its place.
const NO_PRIMARY: [&str; 4] = ["READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS"];

/// The codes by which a node of a cluster says that it does not have a slot, or not for long.
const MOVED: [&str; 4] = ["MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"];

fn is_no_primary(error: &RedisError) -> bool {
    has_code_of(error, &NO_PRIMARY)
}

fn has_moved(error: &RedisError) -> bool {
    has_code_of(error, &MOVED)
}

/// Whether the server answered such a code, to one command or to one in a pipeline.
fn has_code_of(error: &RedisError, codes: &[&str]) -> bool {
    let errors = error.clone().into_server_errors();
    errors.is_some_and(|errors| errors.iter().any(|(_, error)| codes.contains(&error.code())))
}

fn changed(before: &Identity, now: &Identity) -> String {
    match (before.epoch, now.epoch) {
        (Some(_), Some(_)) => {
            "the address leads to more than one server, or the server's identity \
                               changed; the connections are opened anew"
                .to_owned()
        }
        (_, None) | (None, _) => {
            "the server hides its identity on some connections; allow INFO to \
                                  this user, and let no proxy stand in between"
                .to_owned()
        }
    }
}

/// Asks for the server's identity over a multiplexed connection, in one message.
async fn ask_identity(
    connection: &mut MultiplexedConnection,
    is_member: bool,
) -> RedisResult<Identity> {
    let mut commands = redis::pipe();
    for question in Identity::questions(is_member) {
        commands.cmd(question[0]).arg(question[1]);
    }
    // A section that the user may not ask for counts as empty.
    commands.ignore_errors();
    let answers = commands.query_async::<Vec<RedisResult<String>>>(connection).await?;
    let info: Vec<String> = answers.into_iter().map(Result::unwrap_or_default).collect();
    Ok(Identity::read(&info.join("\n")))
}

/// Asks the server for its time, and corrects the clock by it; in ms since the Unix epoch.
pub(super) async fn ask_time(
    connection: &mut MultiplexedConnection,
    clock: &StoreClock,
) -> RedisResult<u64> {
    let sent = Instant::now();
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(connection).await?;
    let now_ms = seconds * 1000 + micros / 1000;
    clock.observe(now_ms, sent);
    Ok(now_ms)
}
