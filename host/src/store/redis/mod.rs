//! The store on a Redis server.
//!
//! | name | type | content |
//! |---|---|---|
//! | `K` | string | an envelope |
//! | `lease:{K}` | string | the token that may fill `K` |
//! | `waiters:{K}` | string | somebody waits for that lease to end and wants to be told |
//! | `tags:{T}` | sorted set | the keys that carry `T`, scored by their expiry in milliseconds |
//! | `mark:{T}` | string | random: `T` was invalidated a short while ago |
//! | `intents:{n}` | sorted set | announced invalidations as JSON, scored by when they fall due |
//!
//! All have a lifetime. The braces put a key's names on one cluster slot, and a tag's.

mod audit;
mod clock;
mod intents;
mod lane;
mod link;
mod reply;
mod scripts;
mod stream;
mod tags;
mod url;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use super::envelope::PREFIX;
use super::{
    Claim, Claimed, Envelope, Filled, Indexed, Intent, Key, Listener, Mode, Removed, Store,
    StoreError, Tag, Token, Tracked,
};
pub use audit::{Audit, audit};
use clock::StoreClock;
use link::{Ears, Link};
use scripts::{Script, Scripts};
use url::{client, unavailable};

/// How often a waiter looks when the server can't tell it that the lease has ended.
const POLL: Duration = Duration::from_millis(25);

/// The latest time that is written, in ms since the Unix epoch: the largest whole number that a
/// sorted set's score and a Lua number hold exactly. Some 285 thousand years from now.
const LATEST_MS: u64 = (1 << 53) - 1;

/// A store on one Redis server, version 6.2 or newer, over two connections: one carries gets, the
/// other the rest.
pub struct RedisStore {
    link: Link,
    scripts: Scripts,
    clock: Arc<StoreClock>,
    ears: Ears,
    unreadable: AtomicU64,
    /// It was said that the server does not track keys.
    untracked: AtomicBool,
}

impl RedisStore {
    /// A store on the server at `url` (`redis://` or `rediss://`); `budget` bounds every exchange.
    /// Connects in the background: a server that is down now is used as soon as it is up. Must
    /// be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with the reason when `url` can never work.
    pub fn connect(url: &str, budget: Duration) -> Result<Self, StoreError> {
        let client = client(url)?;
        let runtime = Handle::try_current().map_err(|error| unavailable(&error))?;
        let (clock, ears) = (Arc::new(StoreClock::new()), Ears::default());
        let link = Link::new(&runtime, client, budget, Arc::clone(&clock), ears.clone());
        let (unreadable, untracked) = (AtomicU64::new(0), AtomicBool::new(false));
        Ok(Self { link, scripts: Scripts::new(), clock, ears, unreadable, untracked })
    }

    /// Runs a script and takes in the time of its answer: `(the server's clock, the answer)`.
    async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        args: &[&[u8]],
    ) -> Result<(u64, T), StoreError> {
        let sent = Instant::now();
        let answer: (u64, T) = self
            .link
            .exchange(|mut connection| async move {
                let known = call("EVALSHA", &script.digest, keys, args);
                match known.query_async(&mut connection).await {
                    Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                        // Flushed or restarted. EVAL also loads it.
                        call("EVAL", script.code, keys, args).query_async(&mut connection).await
                    }
                    answer => answer,
                }
            })
            .await?;
        self.clock.observe(answer.0, sent);
        Ok(answer)
    }

    /// Reads bytes that stood under a key. None when they are no envelope, which is counted.
    fn read(&self, bytes: impl Into<Bytes>) -> Option<Envelope> {
        let envelope = Envelope::decode(bytes.into()).ok();
        if envelope.is_none() {
            self.count_unreadable();
        }
        envelope
    }

    /// What stands under a key of another type is no envelope either.
    fn readable(&self, answer: RedisResult<Option<Vec<u8>>>) -> RedisResult<Option<Vec<u8>>> {
        match answer {
            Err(error) if is_of_wrong_type(&error) => {
                self.count_unreadable();
                Ok(None)
            }
            answer => answer,
        }
    }

    fn count_unreadable(&self) {
        self.unreadable.fetch_add(1, Ordering::Relaxed);
    }

    /// Says once for each change whether the server tracks keys.
    fn note_tracking(&self, tracks: bool) {
        if self.untracked.load(Ordering::Relaxed) != tracks {
            return;
        }
        self.untracked.store(!tracks, Ordering::Relaxed);
        if tracks {
            tracing::info!("the store tells of changes again: the near cache is in use");
        } else {
            tracing::warn!(
                "the store does not tell of changes, so the near cache keeps nothing: allow this \
                 user CLIENT TRACKING and CLIENT CACHING, and let no proxy stand in between"
            );
        }
    }

    async fn try_claim(&self, claim: Claim<'_>) -> Result<Option<Claimed>, StoreError> {
        let lease_ms = lifetime_ms(claim.lease);
        let mode = match claim.mode {
            Mode::IfFree => "if-free",
            Mode::TakeOver => "take-over",
        };
        let (now_ms, answer): (u64, ClaimAnswer) = self
            .run(
                &self.scripts.claim,
                &[claim.key.as_str(), &lease_name(claim.key.as_str())],
                &[
                    claim.token.to_string().as_bytes(),
                    lease_ms.as_bytes(),
                    &PREFIX,
                    claim.seen_ms.to_string().as_bytes(),
                    mode.as_bytes(),
                ],
            )
            .await?;
        Ok(match answer {
            ClaimAnswer::Granted => Some(Claimed::Granted { now_ms }),
            ClaimAnswer::Held { left_ms } => {
                Some(Claimed::Held { remaining: Duration::from_millis(left_ms) })
            }
            ClaimAnswer::Found(bytes) => self.read(bytes).map(Claimed::Found),
        })
    }

    /// Asks to be told of the end of the lease, and how long it may take. None: it has ended.
    async fn ask_to_be_told(&self, key: &Key) -> Option<Duration> {
        let (lease, waiters) = (lease_name(key.as_str()), waiters_name(key.as_str()));
        match self.run::<i64>(&self.scripts.wait, &[&lease, &waiters], &[]).await {
            Ok((_, left_ms)) => match u64::try_from(left_ms) {
                Ok(left_ms) if self.link.pushes() => Some(Duration::from_millis(left_ms)),
                Ok(_) => Some(POLL),
                Err(_) => None,
            },
            Err(_) => Some(POLL),
        }
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn get(&self, key: &Key) -> Result<Option<Envelope>, StoreError> {
        match self.link.get(key).await {
            Ok(value) => Ok(value.and_then(|bytes| self.read(bytes))),
            Err(StoreError::Refused(error)) if error.starts_with(WRONG_TYPE) => {
                self.count_unreadable();
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn get_tracked(&self, key: &Key) -> Result<Tracked, StoreError> {
        let mut commands = redis::pipe();
        commands.cmd("CLIENT").arg("CACHING").arg("YES").ignore();
        commands.cmd("GET").arg(key.as_str());
        let (heard, value) = self
            .link
            .exchange_tracked(|mut connection, tracks| async move {
                let answer = if tracks {
                    // One message: the first command is about the next one of the connection.
                    let answer = commands.query_async::<(Option<Vec<u8>>,)>(&mut connection).await;
                    answer.map(|(value,)| value)
                } else {
                    redis::cmd("GET").arg(key.as_str()).query_async(&mut connection).await
                };
                Ok((tracks, self.readable(answer)?))
            })
            .await?;
        self.note_tracking(heard);
        Ok(Tracked { envelope: value.and_then(|bytes| self.read(bytes)), heard })
    }

    fn listen(&self, listener: Weak<dyn Listener>) {
        self.ears.listeners.add(listener);
    }

    async fn claim(&self, claim: Claim<'_>) -> Result<Claimed, StoreError> {
        if let Some(claimed) = self.try_claim(claim).await? {
            return Ok(claimed);
        }
        // What it found can't be read: nothing is newer than the end of time.
        let blind = self.try_claim(Claim { seen_ms: u64::MAX, ..claim }).await?;
        blind.ok_or_else(|| StoreError::Refused("an answer that was not asked for".to_owned()))
    }

    async fn fill(
        &self,
        key: &Key,
        token: Token,
        envelope: &Envelope,
    ) -> Result<Filled, StoreError> {
        let (lease, waiters) = (lease_name(key.as_str()), waiters_name(key.as_str()));
        let (token, bytes) = (token.to_string(), envelope.encode());
        let until_ms = envelope.stale_until_ms.min(LATEST_MS).to_string();
        let names = [key.as_str(), &lease, &waiters];
        let args = [token.as_bytes(), &bytes, until_ms.as_bytes()];
        let (_, accepted): (_, bool) = self.run(&self.scripts.fill, &names, &args).await?;
        if !accepted {
            return Ok(Filled::Rejected);
        }
        self.ears.listeners.changed(key.as_str());
        Ok(Filled::Stored)
    }

    async fn renew(&self, key: &Key, token: Token, lease: Duration) -> Result<bool, StoreError> {
        let (token, lease_ms) = (token.to_string(), lifetime_ms(lease));
        let args = [token.as_bytes(), lease_ms.as_bytes()];
        let ours = self.run(&self.scripts.renew, &[&lease_name(key.as_str())], &args).await?;
        Ok(ours.1)
    }

    async fn release(&self, key: &Key, token: Token) -> Result<bool, StoreError> {
        let (lease, waiters) = (lease_name(key.as_str()), waiters_name(key.as_str()));
        let names = [key.as_str(), &lease, &waiters];
        let ours = self.run(&self.scripts.release, &names, &[token.to_string().as_bytes()]).await?;
        Ok(ours.1)
    }

    async fn lease_left(&self, key: &Key) -> Result<Option<Duration>, StoreError> {
        let command = redis::cmd("PTTL").arg(lease_name(key.as_str())).take();
        let left_ms: i64 = self
            .link
            .exchange(|mut connection| async move { command.query_async(&mut connection).await })
            .await?;
        // Negative: there is none.
        Ok(u64::try_from(left_ms).ok().map(Duration::from_millis))
    }

    async fn invalidate_keys(&self, keys: &[Key]) -> Result<Removed, StoreError> {
        let names: Vec<_> = keys.iter().map(Key::as_str).collect();
        self.remove(&names).await
    }

    async fn invalidate_tag(&self, tag: &Tag, mark: Duration) -> Result<Removed, StoreError> {
        self.remove_tagged(tag, mark).await
    }

    async fn index(&self, tag: &Tag, key: &Key, expires_at_ms: u64) -> Result<Indexed, StoreError> {
        let names = [tags::index_name(tag), tags::mark_name(tag)];
        let expires_at_ms = expires_at_ms.min(LATEST_MS).to_string();
        let args = [key.as_str().as_bytes(), expires_at_ms.as_bytes()];
        let (_, marked): (_, bool) =
            self.run(&self.scripts.index, &[&names[0], &names[1]], &args).await?;
        Ok(if marked { Indexed::Marked } else { Indexed::Clear })
    }

    async fn announce(&self, intent: &Intent, hold: Duration) -> Result<(), StoreError> {
        self.write_intent(intent, hold).await
    }

    async fn withdraw(&self, intent: &Intent) -> Result<(), StoreError> {
        self.withdraw_intent(intent).await
    }

    async fn due(&self, hold: Duration) -> Result<Vec<Intent>, StoreError> {
        self.due_intents(hold).await
    }

    async fn settled(&self, key: &Key, at_most: Duration) {
        let wait = async {
            let mut waiter = self.ears.waiters.register(key);
            if let Some(left) = self.ask_to_be_told(key).await {
                tokio::select! {
                    () = waiter.woken() => {}
                    () = sleep(left) => {}
                }
            }
        };
        // Over in time or woken: either way the caller looks again.
        let _ = timeout(at_most, wait).await;
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.link
            .exchange(|mut connection| async move {
                redis::cmd("PING").query_async(&mut connection).await
            })
            .await
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

/// What `claim.lua` answers.
enum ClaimAnswer {
    Granted,
    Held { left_ms: u64 },
    Found(Vec<u8>),
}

impl FromRedisValue for ClaimAnswer {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        let mut parts: Vec<Value> = redis::from_redis_value(value)?;
        let detail = if parts.len() > 1 { parts.pop() } else { None };
        let word: String = redis::from_redis_value(parts.pop().unwrap_or(Value::Nil))?;
        match (word.as_str(), detail) {
            ("granted", None) => Ok(Self::Granted),
            ("held", Some(left)) => Ok(Self::Held { left_ms: redis::from_redis_value(left)? }),
            ("found", Some(bytes)) => Ok(Self::Found(redis::from_redis_value(bytes)?)),
            _ => Err(format!("claim answered {word:?}").into()),
        }
    }
}

/// The code of an error: what stands under the key is no string.
const WRONG_TYPE: &str = "WRONGTYPE";

/// Of one command, or of one in a pipeline.
fn is_of_wrong_type(error: &RedisError) -> bool {
    let errors = error.clone().into_server_errors();
    errors.is_some_and(|errors| errors.iter().any(|(_, error)| error.code() == WRONG_TYPE))
}

fn call(command: &str, script: &str, keys: &[&str], args: &[&[u8]]) -> Cmd {
    redis::cmd(command).arg(script).arg(keys.len()).arg(keys).arg(args).take()
}

/// A lifetime as Redis takes it: at least a millisecond, and not so long that the end overflows.
fn lifetime_ms(lifetime: Duration) -> String {
    lifetime.as_millis().clamp(1, u128::from(LATEST_MS / 2)).to_string()
}

fn lease_name(key: &str) -> String {
    format!("lease:{{{key}}}")
}

fn waiters_name(key: &str) -> String {
    format!("waiters:{{{key}}}")
}
