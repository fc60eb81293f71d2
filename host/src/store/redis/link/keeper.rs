//! The task that keeps a link: it opens the connections, receives the server's pushes, notices when a
//! connection breaks, and opens the next ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, RedisResult, Value};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::super::cluster::Membership;
use super::super::identity::Identity;
use super::super::lane::Lane;
use super::super::rights::{self, Greeted, NO_SCRIPTS, NO_TIME};
use super::super::unavailable;
use super::{
    LinkParts, LinkStatus, Listening, OPEN_LIMIT, OpenLink, ask_identity, ask_time, changed,
};
use crate::store::{LinkId, StoreError};

/// The pause between two attempts: ten a second are no burden and soon find a server that is back.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How long a large value may make no progress on its way. Longer than a small answer: a full link loses
/// packets, and repeating one takes a fifth of a second.
const LARGE_SILENCE: Duration = Duration::from_millis(500);

/// The task and what it works with.
pub(super) struct Keeper {
    pub(super) parts: LinkParts,
    pub(super) announce: watch::Sender<LinkStatus>,
}

impl Keeper {
    pub(super) async fn run(self) {
        let Listening { waiters, listeners } = self.parts.listening.clone();
        loop {
            match timeout(OPEN_LIMIT, self.connect()).await {
                Ok(Ok(open)) => {
                    self.announce.send_replace(LinkStatus::Open(open.clone()));
                    until_broken(open).await;
                    self.announce.send_replace(LinkStatus::Opening);
                    // Pushes of ended leases and of changes may have been lost with the connection. Callers
                    // that ask from now on use the next one.
                    waiters.wake_all();
                    listeners.all_changed();
                }
                Ok(Err(error)) => self.pause_after(error).await,
                Err(_) => {
                    let silent = format!("no greeting within {OPEN_LIMIT:?}");
                    self.pause_after(StoreError::Unavailable(silent)).await;
                }
            }
        }
    }

    async fn pause_after(&self, reason: StoreError) {
        self.announce.send_replace(LinkStatus::Down(reason));
        sleep(RETRY_PAUSE).await;
    }

    async fn connect(&self) -> Result<OpenLink, StoreError> {
        let LinkParts { place, budget, .. } = &self.parts;
        let to = place.leads_to().await.map_err(StoreError::Unavailable)?;
        let member = place.membership().map(Membership::id);
        let broken = Arc::new(Notify::new());
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let listener = self.listener(Arc::clone(&broken));
        let large_silence = LARGE_SILENCE.max(*budget);
        let (greeted, lane, large) = tokio::try_join!(
            async {
                let client = Client::open(to.clone()).map_err(|error| unavailable(&error))?;
                let greeted =
                    rights::connect(&client, config, |config| config.set_push_sender(listener));
                greeted.await.map_err(|error| unavailable(&error))
            },
            async { Lane::open(&to, *budget).await.map_err(|error| unavailable(&error)) },
            async { Lane::open(&to, large_silence).await.map_err(|error| unavailable(&error)) },
        )?;
        let connection = greeted.connection.clone();
        let [mut timed, mut asked] = [(); 2].map(|()| connection.clone());
        if let Some(id) = member {
            is_member(&mut connection.clone(), id).await.map_err(StoreError::Unavailable)?;
        }
        // All in one round trip, since callers wait for it.
        let (told, scripts, time, identity, of_lane, of_large) = tokio::join!(
            self.ask_for_pushes(&greeted),
            rights::may_run_scripts(&connection),
            ask_time(&mut timed, &self.parts.clock),
            ask_identity(&mut asked, member.is_some()),
            Identity::ask(&lane, member.is_some()),
            Identity::ask(&large, member.is_some()),
        );
        let told = told.map_err(|error| unavailable(&error))?;
        if !rights::may(time).map_err(|error| unavailable(&error))? {
            return Err(StoreError::Unusable(NO_TIME.to_owned()));
        }
        if !scripts.map_err(|error| unavailable(&error))? {
            return Err(StoreError::Unusable(NO_SCRIPTS.to_owned()));
        }
        let identity = identity.map_err(|error| unavailable(&error))?;
        for other in [of_lane, of_large] {
            let other = other.map_err(|error| unavailable(&error))?;
            if !other.is_same(&identity) {
                return Err(StoreError::Unavailable(changed(&identity, &other)));
            }
        }
        Ok(OpenLink {
            id: next_id(),
            connection,
            lane: Arc::new(lane),
            large: Arc::new(large),
            identity,
            broken,
            pushes: told.ends,
            tracks: told.changes,
            lane_is_due: Arc::default(),
        })
    }

    /// Asks for the server's pushes. What the user may not have is polled for, or done without.
    async fn ask_for_pushes(&self, greeted: &Greeted) -> RedisResult<Pushes> {
        if !greeted.pushes {
            return Ok(Pushes { ends: false, changes: false });
        }
        let channel = self.parts.names.settled_channel();
        let [mut subscriber, mut publisher, mut beside] =
            [(); 3].map(|()| greeted.connection.clone());
        let (subscribes, publishes, changes) = tokio::join!(
            subscriber.subscribe(&channel),
            rights::may_publish(&mut publisher, &channel),
            rights::tracking(&mut beside),
        );
        // A host that may not publish is taken for a sign that the others, which fill, may not either.
        let ends = rights::may(subscribes)? & publishes?;
        Ok(Pushes { ends, changes: changes? })
    }

    /// Receives the server's pushes. Runs inside the connection's own task: must not block.
    fn listener(
        &self,
        broken: Arc<Notify>,
    ) -> impl Fn(PushInfo) -> Result<(), std::convert::Infallible> + Send + Sync + 'static {
        let (listening, names) = (self.parts.listening.clone(), self.parts.names.clone());
        move |push| {
            if push.kind == PushKind::Disconnection {
                broken.notify_one();
                listening.listeners.all_changed();
            } else if push.kind == PushKind::Invalidate {
                listening.hear_of_changes(&push.data);
            } else if let (PushKind::Message, [_, Value::BulkString(name)]) =
                (push.kind, push.data.as_slice())
                && let Some(name) = std::str::from_utf8(name).ok().and_then(|n| names.read(n))
            {
                listening.waiters.wake(&name);
            }
            Ok(())
        }
    }
}

/// Asks which node of its cluster the server is: another one may have its address by now.
async fn is_member(connection: &mut MultiplexedConnection, id: &str) -> Result<(), String> {
    let asked = redis::cmd("CLUSTER").arg("MYID").query_async::<String>(connection).await;
    match asked {
        Ok(is) if is == id => Ok(()),
        Ok(is) => Err(format!("the node {is} answers at the address of {id}")),
        Err(error) => Err(error.to_string()),
    }
}

/// What the server pushes.
struct Pushes {
    /// The ends of leases.
    ends: bool,
    /// Changes of names that it is asked to track.
    changes: bool,
}

/// The next number of a link; every link of this process has its own.
fn next_id() -> LinkId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    LinkId(NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn until_broken(open: OpenLink) {
    tokio::select! {
        () = open.broken.notified() => {}
        () = open.lane.ended() => {}
        () = open.large.ended() => {}
    }
}

impl Listening {
    /// Passes on which names changed; a push without names says that the server was emptied.
    fn hear_of_changes(&self, told: &[Value]) {
        let [Value::Array(names)] = told else { return self.listeners.all_changed() };
        for name in names {
            // A name that is not text belongs to another program.
            if let Value::BulkString(name) = name
                && let Ok(name) = std::str::from_utf8(name)
            {
                self.listeners.changed(name);
            }
        }
    }
}
