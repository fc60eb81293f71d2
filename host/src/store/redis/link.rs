//! Two connections that restore themselves, and the time budget of every exchange over them.
//!
//! One carries gets and nothing else ([`Lane`]), the other all the rest and what the server says
//! unasked. A task of its own keeps them: it opens both, notices when one breaks, and opens the next
//! two. Callers use what stands at the moment. While nothing was tried yet they wait, within
//! their budget; while the server is known to be down they are told so at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, RedisResult, Value};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout, timeout_at};

use super::clock::StoreClock;
use super::lane::{Answer, Lane};
use super::scripts::SETTLED_CHANNEL;
use crate::store::listeners::Listeners;
use crate::store::waiters::Waiters;
use crate::store::{Key, StoreError};

/// How long opening a connection may take, TLS and greeting included: several round trips to
/// another continent, and still half a second from the server's return to its use.
const OPEN_LIMIT: Duration = Duration::from_millis(500);

/// The pause between two attempts: ten a second burden nobody and find a returned server soon.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How often the server is asked for its time: a connection that died while nobody called is
/// replaced before somebody does, and the estimate of its clock stays good.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The connections and the task that keeps them; the task ends with it.
pub(super) struct Link {
    budget: Duration,
    status: watch::Receiver<Status>,
    keeper: JoinHandle<()>,
}

enum Status {
    /// The first attempt since the last break is under way.
    Opening,
    Open(Open),
    /// The last attempt failed, for this reason; the next one follows.
    Down(String),
}

#[derive(Clone)]
struct Open {
    connection: MultiplexedConnection,
    lane: Arc<Lane>,
    /// Told when the connections should be replaced.
    broken: Arc<Notify>,
    /// Whether the server tells us of leases that ended.
    pushes: bool,
    /// Whether the server tells us of changes under keys that we ask it to track.
    tracks: bool,
}

/// Who hears what the server says unasked.
#[derive(Clone, Default)]
pub(super) struct Ears {
    pub(super) waiters: Arc<Waiters>,
    pub(super) listeners: Arc<Listeners>,
}

impl Link {
    /// Starts to connect, and keeps at it. Does not wait for it.
    pub(super) fn new(
        runtime: &Handle,
        client: Client,
        budget: Duration,
        clock: Arc<StoreClock>,
        ears: Ears,
    ) -> Self {
        let (announce, status) = watch::channel(Status::Opening);
        let keeper = Keeper { client, budget, clock, ears, announce };
        Self { budget, status, keeper: runtime.spawn(keeper.run()) }
    }

    /// One get, within the budget from when it is sent.
    pub(super) async fn get(&self, key: &Key) -> Answer {
        let standing = match &*self.status.borrow() {
            Status::Open(open) => Some(open.lane.get(key)),
            Status::Opening | Status::Down(_) => None,
        };
        let answered = match standing {
            Some(answered) => answered,
            None => {
                let opened = timeout(self.budget, self.open()).await;
                opened.map_err(|_| StoreError::Timeout(self.budget))??.lane.get(key)
            }
        };
        let replaced = || StoreError::Unavailable("the connection was replaced".to_owned());
        answered.await.map_err(|_| replaced())?
    }

    /// One exchange with the server, within the budget. It may include several commands.
    pub(super) async fn exchange<T, F>(
        &self,
        talk: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = RedisResult<T>>,
    {
        self.exchange_tracked(|connection, _tracks| talk(connection)).await
    }

    /// The same, told whether the server tracks keys for this connection.
    pub(super) async fn exchange_tracked<T, F>(
        &self,
        talk: impl FnOnce(MultiplexedConnection, bool) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let over = || StoreError::Timeout(self.budget);
        let deadline = tokio::time::Instant::now() + self.budget;
        let Open { connection, broken, tracks, .. } =
            timeout_at(deadline, self.open()).await.map_err(|_| over())??;
        match timeout_at(deadline, talk(connection, tracks)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if error.is_io_error() => {
                broken.notify_one();
                Err(StoreError::Unavailable(error.to_string()))
            }
            Ok(Err(error)) => Err(StoreError::Refused(error.to_string())),
            Err(_) => {
                // Whatever is stuck in this connection, later calls shall not queue behind it.
                broken.notify_one();
                Err(over())
            }
        }
    }

    /// Whether the server at present tells us of leases that ended.
    pub(super) fn pushes(&self) -> bool {
        matches!(&*self.status.borrow(), Status::Open(open) if open.pushes)
    }

    async fn open(&self) -> Result<Open, StoreError> {
        let mut status = self.status.clone();
        loop {
            match &*status.borrow_and_update() {
                Status::Opening => {}
                Status::Open(open) => return Ok(open.clone()),
                Status::Down(reason) => return Err(StoreError::Unavailable(reason.clone())),
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

/// What the connection's task works with.
struct Keeper {
    client: Client,
    budget: Duration,
    clock: Arc<StoreClock>,
    ears: Ears,
    announce: watch::Sender<Status>,
}

impl Keeper {
    async fn run(self) {
        loop {
            match timeout(OPEN_LIMIT, self.connect()).await {
                Ok(Ok(open)) => {
                    self.announce.send_replace(Status::Open(open.clone()));
                    self.until_broken(open).await;
                    self.announce.send_replace(Status::Opening);
                    // Word of leases that ended and of changes may have been lost with the
                    // connection. Who asks from now on uses the next one.
                    self.ears.waiters.wake_all();
                    self.ears.listeners.all_changed();
                }
                Ok(Err(error)) => self.pause_after(error.to_string()).await,
                Err(_) => {
                    self.pause_after(format!("no greeting within {OPEN_LIMIT:?}")).await;
                }
            }
        }
    }

    async fn pause_after(&self, reason: String) {
        self.announce.send_replace(Status::Down(reason));
        sleep(RETRY_PAUSE).await;
    }

    async fn connect(&self) -> RedisResult<Open> {
        let broken = Arc::new(Notify::new());
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_push_sender(self.listener(Arc::clone(&broken)));
        let (mut connection, lane) = tokio::try_join!(
            self.client.get_multiplexed_async_connection_with_config(&config),
            async { Ok(Lane::open(&self.client, self.budget).await?) },
        )?;
        self.ask_time(&mut connection).await?;
        let mut beside = connection.clone();
        // In one round trip: callers wait for this.
        let (subscribed, tracks) =
            tokio::join!(connection.subscribe(SETTLED_CHANNEL), tracking(&mut beside));
        let pushes = match subscribed {
            Ok(()) => true,
            Err(error) if error.is_io_error() => return Err(error),
            // A user who may not subscribe: we poll.
            Err(_) => false,
        };
        Ok(Open { connection, lane: Arc::new(lane), broken, pushes, tracks: tracks? })
    }

    /// Hears what the server says unasked. Runs inside the connection's own task: must not block.
    fn listener(
        &self,
        broken: Arc<Notify>,
    ) -> impl Fn(PushInfo) -> Result<(), std::convert::Infallible> + Send + Sync + 'static {
        let ears = self.ears.clone();
        move |push| {
            if push.kind == PushKind::Disconnection {
                broken.notify_one();
                ears.listeners.all_changed();
            } else if push.kind == PushKind::Invalidate {
                ears.hear_of_changes(&push.data);
            } else if let (PushKind::Message, [_, Value::BulkString(name)]) =
                (push.kind, push.data.as_slice())
                && let Some(key) = std::str::from_utf8(name).ok().and_then(|n| Key::try_new(n).ok())
            {
                ears.waiters.wake(&key);
            }
            Ok(())
        }
    }

    async fn until_broken(&self, mut open: Open) {
        let broken = Arc::clone(&open.broken);
        let beat = async {
            loop {
                sleep(HEARTBEAT).await;
                match timeout(OPEN_LIMIT, self.ask_time(&mut open.connection)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return,
                }
            }
        };
        tokio::select! {
            () = broken.notified() => {}
            () = open.lane.ended() => {}
            () = beat => {}
        }
    }

    async fn ask_time(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let sent = Instant::now();
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(connection).await?;
        self.clock.observe(seconds * 1000 + micros / 1000, sent);
        Ok(())
    }
}

impl Ears {
    /// The names of the keys that changed; none: the server was emptied.
    fn hear_of_changes(&self, told: &[Value]) {
        let [Value::Array(names)] = told else { return self.listeners.all_changed() };
        for name in names {
            // A name that is no text is none of ours.
            if let Value::BulkString(name) = name
                && let Ok(name) = std::str::from_utf8(name)
            {
                self.listeners.changed(name);
            }
        }
    }
}

/// Asks the server to track the keys that a connection asks it to track, each by itself: what our
/// scripts look at, such as leases, shall not be told. False: a proxy or the user's rights forbid it.
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
