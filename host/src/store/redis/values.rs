//! Values: read, claimed and filled.
//!
//! A read is a `GETEX` that extends nothing. Since `GETEX` is a command that writes, a node that was demoted
//! while the connection stayed open refuses it instead of answering what it remembers (race O). The body of a
//! large value lies apart and travels over a connection of its own, where it holds up no small read, and once
//! for all readers that ask at the same moment.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use redis::{FromRedisValue, Value};
use tokio::sync::watch;

use super::calls::Call;
use super::lane::{write_command, write_read};
use super::reply::Reply;
use super::{LATEST_MS, RedisStore, lifetime_ms, readable};
use crate::store::envelope::{Header, PREFIX, Stored};
use crate::store::{
    Claim, Claimed, Envelope, Epoch, Filled, Indexed, LONGEST_LEASE, LeaseToken, Mark, Mode, Name,
    Over, StoreError, StoreTag, Tracked,
};

/// The code of the error for a name under which there is no string.
pub(super) const WRONG_TYPE: &str = "WRONGTYPE";

/// The largest envelope that is stored and read in one piece. At 10 MB/s it holds up other reads for less
/// than two milliseconds.
const SMALL_BYTES: usize = 16 << 10;

type SharedBody = Result<Option<Bytes>, StoreError>;

/// What the bytes under a name contain.
enum AtHand {
    /// The whole envelope; `None` if there is none that can be read.
    Whole(Option<Envelope>),
    /// The header of an envelope; its body lies apart.
    Apart(Header),
}

/// Questions for bodies that are not sent yet, by name. Readers that come before a question is sent share its
/// answer.
#[derive(Default)]
pub(super) struct Reading(Mutex<HashMap<Name, watch::Receiver<Option<SharedBody>>>>);

impl Reading {
    fn lock(&self) -> MutexGuard<'_, HashMap<Name, watch::Receiver<Option<SharedBody>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the sharing of a question, on drop: when it is about to be sent, or when its reader goes away. In the
/// second case the readers that share it ask themselves.
struct SharedReading<'a> {
    reading: &'a Reading,
    name: &'a Name,
}

impl Drop for SharedReading<'_> {
    fn drop(&mut self) {
        self.reading.lock().remove(self.name);
    }
}

impl RedisStore {
    pub(super) async fn read_value(
        &self,
        name: &Name,
    ) -> Result<Over<Option<Envelope>>, StoreError> {
        let read = name.as_str().as_bytes();
        let Over { link, answer } = self.link.ask(|commands| write_read(commands, read)).await?;
        let answer = match self.at_hand(self.string(answer)?) {
            AtHand::Whole(envelope) => envelope,
            // Boxed, so that the read of a small value does not carry the state of a large one's.
            AtHand::Apart(header) => Box::pin(self.with_body(name, header)).await?,
        };
        Ok(Over { link, answer })
    }

    /// Reads the bytes under a name.
    fn at_hand(&self, bytes: Option<Bytes>) -> AtHand {
        match bytes.map(Stored::read) {
            None => AtHand::Whole(None),
            Some(Ok(Stored::Whole(envelope))) => AtHand::Whole(Some(envelope)),
            Some(Ok(Stored::Apart(header))) => AtHand::Apart(header),
            Some(Err(_unreadable)) => {
                self.count_unreadable();
                AtHand::Whole(None)
            }
        }
    }

    /// The envelope of a header, with its body. The body may come over another link than its header: its etag
    /// ties the two together.
    async fn with_body(&self, name: &Name, header: Header) -> Result<Option<Envelope>, StoreError> {
        Ok(self.read_body(name).await?.and_then(|body| header.with(body)))
    }

    /// The envelope of these bytes, with the body that may lie apart.
    async fn whole(
        &self,
        name: &Name,
        bytes: Option<Bytes>,
    ) -> Result<Option<Envelope>, StoreError> {
        match self.at_hand(bytes) {
            AtHand::Whole(envelope) => Ok(envelope),
            AtHand::Apart(header) => self.with_body(name, header).await,
        }
    }

    /// Reads a body over the connection for large values. Readers that come before the question is sent share
    /// its answer; to a later reader, the answer might be too old.
    async fn read_body(&self, name: &Name) -> SharedBody {
        let joined = self.reading.lock().get(name).cloned();
        if let Some(mut joined) = joined
            && let Ok(answered) = joined.wait_for(Option::is_some).await
            && let Some(answered) = answered.clone()
        {
            return answered;
        }
        let (tell, told) = watch::channel(None);
        self.reading.lock().insert(name.clone(), told);
        let reader = SharedReading { reading: &self.reading, name };
        tokio::task::yield_now().await;
        drop(reader);
        let body = self.names.body(name.as_str());
        let words = [&b"GETEX"[..], body.as_bytes()];
        let answered = self.link.ask_large(|commands| write_command(commands, &words)).await;
        let answered = answered.and_then(|over| self.string(over.answer));
        tell.send_replace(Some(answered.clone()));
        answered
    }

    /// The string that the server answered; `None` if there is none, or a value of another type.
    fn string(&self, reply: Reply) -> Result<Option<Bytes>, StoreError> {
        match reply {
            Reply::Value(value) => Ok(Some(value)),
            Reply::Nothing => Ok(None),
            Reply::Error(error) if error.starts_with(WRONG_TYPE) => {
                self.count_unreadable();
                Ok(None)
            }
            Reply::Error(error) => Err(self.link.refusal(error)),
            other @ (Reply::Word(_) | Reply::Number(_) | Reply::List(_)) => {
                Err(StoreError::Refused(format!("a read is answered by {other:?}")))
            }
        }
    }

    pub(super) async fn read_tracked(&self, name: &Name) -> Result<Over<Tracked>, StoreError> {
        let mut commands = redis::pipe();
        commands.cmd("CLIENT").arg("CACHING").arg("YES").ignore();
        // Only commands that read are tracked. A replica refuses the command behind it, which writes.
        commands.cmd("GET").arg(name.as_str()).cmd("PERSIST").arg(self.names.role(name.as_str()));
        let getex = redis::cmd("GETEX").arg(name.as_str()).take();
        let Over { link, answer: (heard, value) } = self
            .link
            .exchange_tracked(|mut connection, tracks| async move {
                let answer = if tracks {
                    // All in one message: CLIENT CACHING concerns the next command of the connection.
                    type Answers = (Option<Vec<u8>>, i64);
                    let answers = commands.query_async::<Answers>(&mut connection).await;
                    answers.map(|(value, _)| value)
                } else {
                    getex.query_async(&mut connection).await
                };
                Ok((tracks, readable(answer, || self.count_unreadable())?))
            })
            .await?;
        self.note_tracking(heard);
        let envelope = self.whole(name, value.map(Bytes::from)).await?;
        Ok(Over { link, answer: Tracked { envelope, heard } })
    }

    pub(super) async fn claim_lease(&self, claim: Claim<'_>) -> Result<Over<Claimed>, StoreError> {
        if let Some(claimed) = self.try_claim(claim).await? {
            return Ok(claimed);
        }
        // The value that was found can't be read. With the largest `seen_ms` no value is newer.
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
        let longest_ms = lifetime_ms(LONGEST_LEASE);
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
                let envelope = self.whole(claim.name, Some(Bytes::from(bytes))).await?;
                envelope.map(|envelope| Over { link, answer: Claimed::Found(envelope) })
            }
        })
    }

    pub(super) async fn write_value(
        &self,
        name: &Name,
        token: LeaseToken,
        envelope: &Envelope,
    ) -> Result<Over<Filled>, StoreError> {
        let of = name.as_str();
        let rest = [self.names.lease(of), self.names.waiters(of), self.names.body(of)];
        let [lease, waiters, body] = rest.each_ref().map(String::as_str);
        let (token, names) = (token.to_string(), [of, lease, waiters, body]);
        let until_ms = envelope.stale_until_ms.min(LATEST_MS).to_string();
        let bytes = envelope.encode();
        let Over { link, answer: accepted } = if bytes.len() <= SMALL_BYTES {
            let args = [token.as_bytes(), &bytes, until_ms.as_bytes(), b""];
            self.run(&self.scripts.fill, &names, &args).await?
        } else {
            let (header, body) = envelope.encode_apart();
            let args = [token.as_bytes(), &header, until_ms.as_bytes(), &body];
            self.write_large(&names, &args).await?
        };
        if !accepted {
            return Ok(Over { link, answer: Filled::Rejected });
        }
        self.listening.listeners.changed(name.as_str());
        Ok(Over { link, answer: Filled::Stored })
    }

    /// Runs the fill script over the connection for large values.
    async fn write_large(&self, names: &[&str], args: &[&[u8]]) -> Result<Over<bool>, StoreError> {
        let script = &self.scripts.fill;
        let count = names.len().to_string();
        let send = async |command: &str, script: &str| {
            let mut words = vec![command.as_bytes(), script.as_bytes(), count.as_bytes()];
            words.extend(names.iter().map(|name| name.as_bytes()));
            words.extend(args);
            self.link.ask_large(|commands| write_command(commands, &words)).await
        };
        let mut over = send("EVALSHA", &script.digest).await?;
        if matches!(&over.answer, Reply::Error(error) if error.starts_with("NOSCRIPT")) {
            over = send("EVAL", &script.code).await?;
        }
        let Over { link, answer } = over;
        match answer {
            Reply::List(parts) => {
                Ok(Over { link, answer: matches!(parts[..], [_, Reply::Number(1)]) })
            }
            Reply::Error(error) => Err(self.link.refusal(error)),
            other @ (Reply::Value(_) | Reply::Nothing | Reply::Word(_) | Reply::Number(_)) => {
                Err(StoreError::Refused(format!("a fill is answered by {other:?}")))
            }
        }
    }

    pub(super) async fn index_name(
        &self,
        name: &Name,
        tags: &[StoreTag],
        expires_at_ms: u64,
    ) -> Result<Over<Indexed>, StoreError> {
        let until_ms = expires_at_ms.min(LATEST_MS).to_string();
        let calls = tags.iter().map(|tag| {
            let args = vec![name.as_str().to_owned(), until_ms.clone()];
            (vec![self.names.index(tag), self.names.mark(tag)], args)
        });
        let calls: Vec<Call> = calls.collect();
        let answers = self.run_each::<Option<String>>(&self.scripts.index, &calls).await?;
        Ok(answers.map(|answers| {
            let now_ms = answers.last().map_or(0, |(now_ms, _)| *now_ms);
            let marks = answers.iter().filter_map(|(_, mark)| mark.as_deref().map(read_mark));
            Indexed { now_ms, marks: marks.collect() }
        }))
    }
}

/// Reads `random at-ms epoch`. A mark that can't be read counts as newer than every load, so that the row is
/// loaded again.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_is_written_and_what_is_none_counts_as_the_newest() {
        let mark = Mark { at_ms: 1_700_000_000_123, epoch: Epoch(0xe90c) };
        assert_eq!(read_mark("00ff 1700000000123 000000000000e90c"), mark);
        let newest = Mark { at_ms: u64::MAX, epoch: Epoch(0) };
        for text in ["", "00ff", "00ff 17", "00ff x 000000000000e90c", "00ff 17 node", "1"] {
            assert_eq!(read_mark(text), newest, "{text:?}");
        }
    }

    #[test]
    fn a_claim_has_three_answers_and_everything_else_is_an_error() {
        let word = |word: &str| Value::BulkString(word.as_bytes().to_vec());
        let answer = |parts| ClaimAnswer::from_redis_value(Value::Array(parts));
        assert!(matches!(answer(vec![word("granted")]), Ok(ClaimAnswer::Granted)));
        let held = answer(vec![word("held"), Value::Int(41)]);
        assert!(matches!(held, Ok(ClaimAnswer::Held { left_ms: 41 })));
        let found = answer(vec![word("found"), word("bytes")]);
        assert!(matches!(found, Ok(ClaimAnswer::Found(bytes)) if bytes == b"bytes"));
        for wrong in [
            vec![],
            vec![word("held")],
            vec![word("found")],
            vec![word("granted"), Value::Int(1)],
            vec![word("lent"), Value::Int(1)],
        ] {
            assert!(answer(wrong.clone()).is_err(), "{wrong:?}");
        }
    }
}
