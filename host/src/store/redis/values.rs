//! Values: read, claimed and filled.
//!
//! A read asks for the beginning of a value over the connection of small reads. Nearly every value is
//! whole then; the rest of a large one comes over a connection of its own, where it holds up nobody, and
//! comes once for all who ask at the same moment.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use redis::{FromRedisValue, Value};
use tokio::sync::watch;

use super::lane::write_command;
use super::reply::Reply;
use super::{LATEST_MS, RedisStore, lifetime_ms, readable};
use crate::store::envelope::PREFIX;
use crate::store::{
    Claim, Claimed, Envelope, Epoch, Filled, Indexed, LONGEST_LEASE, Mark, Mode, Name, Over,
    StoreError, Tag, Token, Tracked,
};

/// The code of an error: what stands under the name is no string.
pub(super) const WRONG_TYPE: &str = "WRONGTYPE";

/// What is read of a value at first, and filled over the connection of small exchanges. At 10 MB/s so
/// many bytes hold up the others for less than two milliseconds.
const SMALL_BYTES: usize = 16 << 10;

/// The last byte of that, as `GETRANGE` wants it.
const SMALL_LAST: &str = "16383";

type Answered = Result<Over<Option<Bytes>>, StoreError>;

/// Large values that are on their way, by name.
#[derive(Default)]
pub(super) struct Reading(Mutex<HashMap<Name, watch::Receiver<Option<Answered>>>>);

impl Reading {
    fn lock(&self) -> MutexGuard<'_, HashMap<Name, watch::Receiver<Option<Answered>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a reading when its reader goes away: the others ask again.
struct Reader<'a> {
    reading: &'a Reading,
    name: &'a Name,
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.reading.lock().remove(self.name);
    }
}

impl RedisStore {
    pub(super) async fn read_value(
        &self,
        name: &Name,
    ) -> Result<Over<Option<Envelope>>, StoreError> {
        let words = [&b"GETRANGE"[..], name.as_str().as_bytes(), b"0", SMALL_LAST.as_bytes()];
        let Over { link, answer } =
            self.link.ask(|commands| write_command(commands, &words)).await?;
        let beginning = self.string(answer)?.filter(|bytes| !bytes.is_empty());
        self.whole(name, Over { link, answer: beginning }).await
    }

    /// The envelope of which this is the beginning, read to its end.
    async fn whole(
        &self,
        name: &Name,
        beginning: Over<Option<Bytes>>,
    ) -> Result<Over<Option<Envelope>>, StoreError> {
        let is_cut = |bytes: &Bytes| bytes.len() == SMALL_BYTES && Envelope::is_cut(bytes);
        let Over { link, answer } = match &beginning.answer {
            Some(bytes) if is_cut(bytes) => self.read_large(name).await?,
            Some(_) | None => beginning,
        };
        Ok(Over { link, answer: answer.and_then(|bytes| self.decode(bytes)) })
    }

    /// The value over the connection of large ones; whoever asks meanwhile shares the answer only if
    /// that was asked for after he asked, which a reader that has just begun is not: so a reading is
    /// joined in its first moment alone, before it was sent.
    async fn read_large(&self, name: &Name) -> Answered {
        let joined = self.reading.lock().get(name).cloned();
        if let Some(mut joined) = joined
            && let Ok(answered) = joined.wait_for(Option::is_some).await
            && let Some(answered) = answered.clone()
        {
            return answered;
        }
        let (tell, told) = watch::channel(None);
        self.reading.lock().insert(name.clone(), told);
        let reader = Reader { reading: &self.reading, name };
        tokio::task::yield_now().await;
        drop(reader);
        let words = [&b"GET"[..], name.as_str().as_bytes()];
        let answered = self.link.ask_large(|commands| write_command(commands, &words)).await;
        let answered = answered
            .and_then(|Over { link, answer }| Ok(Over { link, answer: self.string(answer)? }));
        tell.send_replace(Some(answered.clone()));
        answered
    }

    /// A string of the server's; `None` where there is none, or where something else stands.
    fn string(&self, reply: Reply) -> Result<Option<Bytes>, StoreError> {
        match reply {
            Reply::Value(value) => Ok(Some(value)),
            Reply::Nothing => Ok(None),
            Reply::Error(error) if error.starts_with(WRONG_TYPE) => {
                self.count_unreadable();
                Ok(None)
            }
            Reply::Error(error) => Err(StoreError::Refused(error)),
            other @ (Reply::Word(_) | Reply::Number(_) | Reply::List(_)) => {
                Err(StoreError::Refused(format!("a read is answered by {other:?}")))
            }
        }
    }

    /// Reads bytes that stood under a name. `None` when they are no envelope, which is counted.
    fn decode(&self, bytes: Bytes) -> Option<Envelope> {
        let envelope = Envelope::decode(bytes).ok();
        if envelope.is_none() {
            self.count_unreadable();
        }
        envelope
    }

    pub(super) async fn read_tracked(&self, name: &Name) -> Result<Over<Tracked>, StoreError> {
        let mut get = redis::cmd("GETRANGE");
        get.arg(name.as_str()).arg(0).arg(SMALL_LAST);
        let mut commands = redis::pipe();
        commands.cmd("CLIENT").arg("CACHING").arg("YES").ignore().add_command(get.clone());
        let answer = self
            .link
            .exchange_tracked(|mut connection, tracks| async move {
                let answer = if tracks {
                    // One message: the first command is about the next one of the connection.
                    let answer = commands.query_async::<(Option<Vec<u8>>,)>(&mut connection).await;
                    answer.map(|(value,)| value)
                } else {
                    get.query_async(&mut connection).await
                };
                Ok((tracks, readable(answer, || self.count_unreadable())?))
            })
            .await?;
        let Over { link, answer: (heard, value) } = answer;
        self.note_tracking(heard);
        let beginning = value.filter(|bytes| !bytes.is_empty()).map(Bytes::from);
        let whole = self.whole(name, Over { link, answer: beginning }).await?;
        // A large value that came over another link is not the one that is tracked.
        let heard = heard && whole.link == link;
        Ok(whole.map(|envelope| Tracked { envelope, heard }))
    }

    pub(super) async fn claim_lease(&self, claim: Claim<'_>) -> Result<Over<Claimed>, StoreError> {
        if let Some(claimed) = self.try_claim(claim).await? {
            return Ok(claimed);
        }
        // What it found can't be read: nothing is newer than the end of time.
        let blind = self.try_claim(Claim { seen_ms: u64::MAX, ..claim }).await?;
        blind.ok_or_else(|| StoreError::Refused("an answer that was not asked for".to_owned()))
    }

    async fn try_claim(&self, claim: Claim<'_>) -> Result<Option<Over<Claimed>>, StoreError> {
        let lease_ms = lifetime_ms(claim.lease);
        let mode = match claim.mode {
            Mode::IfFree => "if-free",
            Mode::TakeOver => "take-over",
        };
        let (token, seen_ms) = (claim.token.to_string(), claim.seen_ms.to_string());
        let (small, longest_ms) = (SMALL_BYTES.to_string(), lifetime_ms(LONGEST_LEASE));
        let (over, now_ms) = self
            .run_timed::<ClaimAnswer>(
                &self.scripts.claim,
                &[claim.name.as_str(), &self.names.lease(claim.name.as_str())],
                &[
                    token.as_bytes(),
                    lease_ms.as_bytes(),
                    &PREFIX,
                    seen_ms.as_bytes(),
                    mode.as_bytes(),
                    small.as_bytes(),
                    longest_ms.as_bytes(),
                ],
            )
            .await?;
        let Over { link, answer } = over;
        Ok(match answer {
            ClaimAnswer::Granted => Some(Over { link, answer: Claimed::Granted { now_ms } }),
            ClaimAnswer::Held { left_ms } => {
                let remaining = Duration::from_millis(left_ms);
                Some(Over { link, answer: Claimed::Held { remaining } })
            }
            ClaimAnswer::Found(bytes) => {
                let beginning = Over { link, answer: Some(Bytes::from(bytes)) };
                let Over { link, answer } = self.whole(claim.name, beginning).await?;
                answer.map(|envelope| Over { link, answer: Claimed::Found(envelope) })
            }
        })
    }

    pub(super) async fn write_value(
        &self,
        name: &Name,
        token: Token,
        envelope: &Envelope,
    ) -> Result<Filled, StoreError> {
        let (lease, waiters) = (self.names.lease(name.as_str()), self.names.waiters(name.as_str()));
        let (token, bytes) = (token.to_string(), envelope.encode());
        let until_ms = envelope.stale_until_ms.min(LATEST_MS).to_string();
        let names = [name.as_str(), &*lease, &*waiters];
        let args = [token.as_bytes(), &bytes, until_ms.as_bytes()];
        let accepted = if bytes.len() <= SMALL_BYTES {
            self.run(&self.scripts.fill, &names, &args).await?.answer
        } else {
            self.write_large(&names, &args).await?
        };
        if !accepted {
            return Ok(Filled::Rejected);
        }
        self.listening.listeners.changed(name.as_str());
        Ok(Filled::Stored)
    }

    /// The script of a fill over the connection of large values.
    async fn write_large(&self, names: &[&str], args: &[&[u8]]) -> Result<bool, StoreError> {
        let script = &self.scripts.fill;
        let count = names.len().to_string();
        let send = async |command: &str, script: &str| {
            let mut words = vec![command.as_bytes(), script.as_bytes(), count.as_bytes()];
            words.extend(names.iter().map(|name| name.as_bytes()));
            words.extend(args);
            self.link.ask_large(|commands| write_command(commands, &words)).await
        };
        let mut reply = send("EVALSHA", &script.digest).await?.answer;
        if matches!(&reply, Reply::Error(error) if error.starts_with("NOSCRIPT")) {
            reply = send("EVAL", &script.code).await?.answer;
        }
        match reply {
            Reply::List(parts) => Ok(matches!(parts[..], [_, Reply::Number(1)])),
            Reply::Error(error) => Err(StoreError::Refused(error)),
            other @ (Reply::Value(_) | Reply::Nothing | Reply::Word(_) | Reply::Number(_)) => {
                Err(StoreError::Refused(format!("a fill is answered by {other:?}")))
            }
        }
    }

    pub(super) async fn index_name(
        &self,
        name: &Name,
        tags: &[Tag],
        expires_at_ms: u64,
    ) -> Result<Over<Indexed>, StoreError> {
        let until_ms = expires_at_ms.min(LATEST_MS).to_string();
        let calls = tags.iter().map(|tag| {
            let args = vec![name.as_str().to_owned(), until_ms.clone()];
            (vec![self.names.index(tag), self.names.mark(tag)], args)
        });
        let answers = self.run_each::<Option<String>>(&self.scripts.index, calls.collect()).await?;
        Ok(answers.map(|answers| {
            let now_ms = answers.last().map_or(0, |(now_ms, _)| *now_ms);
            let marks = answers.iter().filter_map(|(_, mark)| mark.as_deref().map(read_mark));
            Indexed { now_ms, marks: marks.collect() }
        }))
    }
}

/// `random at-ms epoch`. What can't be read is the newest mark that there can be: what was loaded before
/// is loaded again.
fn read_mark(text: &str) -> Mark {
    let mut parts = text.split(' ').skip(1);
    let at_ms = parts.next().and_then(|at| at.parse().ok());
    let epoch = parts.next().and_then(|epoch| u64::from_str_radix(epoch, 16).ok());
    let newest = Mark { at_ms: u64::MAX, epoch: Epoch(0) };
    at_ms.zip(epoch).map_or(newest, |(at_ms, epoch)| Mark { at_ms, epoch: Epoch(epoch) })
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
