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
use super::{
    LinkParts, LinkStatus, Listening, OPEN_LIMIT, OpenLink, ask_identity, ask_time, changed,
};
use crate::store::LinkId;

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
                    self.pause_after(format!("no greeting within {OPEN_LIMIT:?}")).await;
                }
            }
        }
    }

    async fn pause_after(&self, reason: String) {
        self.announce.send_replace(LinkStatus::Down(reason));
        sleep(RETRY_PAUSE).await;
    }

    async fn connect(&self) -> Result<OpenLink, String> {
        let LinkParts { place, budget, names, .. } = &self.parts;
        let to = place.leads_to().await?;
        let member = place.membership().map(Membership::id);
        let broken = Arc::new(Notify::new());
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_push_sender(self.listener(Arc::clone(&broken)));
        let text = |error: &dyn std::error::Error| error.to_string();
        let large_silence = LARGE_SILENCE.max(*budget);
        let (connection, lane, large) = tokio::try_join!(
            async {
                let client = Client::open(to.clone()).map_err(|error| text(&error))?;
                let connecting = client.get_multiplexed_async_connection_with_config(&config);
                connecting.await.map_err(|error| text(&error))
            },
            async { Lane::open(&to, *budget).await.map_err(|error| text(&error)) },
            async { Lane::open(&to, large_silence).await.map_err(|error| text(&error)) },
        )?;
        let [mut subscriber, mut beside, mut timed, mut asked] =
            [(); 4].map(|()| connection.clone());
        if let Some(id) = member {
            is_member(&mut connection.clone(), id).await?;
        }
        // All in one round trip, since callers wait for it.
        let (subscribed, tracks, time, identity, of_lane, of_large) = tokio::join!(
            subscriber.subscribe(names.settled_channel()),
            tracking(&mut beside),
            ask_time(&mut timed, &self.parts.clock),
            ask_identity(&mut asked, member.is_some()),
            Identity::ask(&lane, member.is_some()),
            Identity::ask(&large, member.is_some()),
        );
        time.map_err(|error| text(&error))?;
        let pushes = match subscribed {
            Ok(()) => true,
            Err(error) if error.is_io_error() => return Err(text(&error)),
            // The user may not subscribe: waiters poll.
            Err(_) => false,
        };
        let identity = identity.map_err(|error| text(&error))?;
        for other in [of_lane, of_large] {
            let other = other.map_err(|error| text(&error))?;
            if !other.is_same(&identity) {
                return Err(changed(&identity, &other));
            }
        }
        Ok(OpenLink {
            id: next_id(),
            connection,
            lane: Arc::new(lane),
            large: Arc::new(large),
            identity,
            broken,
            pushes,
            tracks: tracks.map_err(|error| text(&error))?,
            lane_is_due: Arc::default(),
        })
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

/// Asks the server to track only the names for which a connection asks (`OPTIN`), so that what the scripts
/// look at, such as leases, is not pushed. `false` if a proxy or the user's rights forbid tracking.
async fn tracking(connection: &mut MultiplexedConnection) -> RedisResult<bool> {
    let mut commands = redis::pipe();
    commands.cmd("CLIENT").arg("TRACKING").arg("ON").arg("OPTIN").ignore();
    commands.cmd("CLIENT").arg("CACHING").arg("YES").ignore();
    match commands.query_async::<()>(connection).await {
        Ok(()) => Ok(true),
        Err(error) if error.is_io_error() => Err(error),
        Err(_) => Ok(false),
    }
}
