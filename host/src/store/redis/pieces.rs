//! Removals from a slot that is on its way to another node of a cluster.
//!
//! Of such a slot some keys are here and some are there already, so a command with several keys is refused
//! (`TRYAGAIN`), and one with a key that is not here points to the other node (`ASK`). Keys are then removed
//! one at a time, the lease first, each where it is. No host believes what is there before the slot is
//! confirmed to be there; but the slot may come back before that.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use redis::{Cmd, FromRedisValue, RedisError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::calls::has_code;
use super::cluster::Membership;
use super::reply::{Reply, take_reply};
use super::{RedisStore, lifetime_ms};
use crate::store::{Marking, Name, Over, Removed, Remover, StoreError, StoreTag};

/// How long the other node may take to answer, connecting included.
const WITHIN: Duration = Duration::from_millis(500);

/// A command about one key: its name and its other words.
struct KeyCommand {
    verb: &'static str,
    key: String,
    rest: Vec<String>,
}

impl KeyCommand {
    fn new(verb: &'static str, key: String) -> Self {
        Self { verb, key, rest: Vec::new() }
    }

    fn command(&self) -> Cmd {
        redis::cmd(self.verb).arg(&self.key).arg(&self.rest).take()
    }
}

impl RedisStore {
    pub(super) async fn remove_one_by_one(
        &self,
        names: &[Name],
    ) -> Result<Over<Removed>, StoreError> {
        let (mut link, mut removed) = (None, 0);
        for name in names.iter().map(Name::as_str) {
            let keys = [self.names.lease(name), name.to_owned(), self.names.body(name)];
            let mut gone = 0;
            for key in keys {
                let over = self.send_to_key(&KeyCommand::new("DEL", key)).await?;
                link.get_or_insert(over.link);
                if link != Some(over.link) {
                    return Err(StoreError::Unavailable("the connection was replaced".to_owned()));
                }
                gone += over.answer;
            }
            removed += u64::from(gone > 0);
            self.listening.listeners.changed(name);
        }
        let link = link.ok_or(StoreError::Moved)?;
        Ok(Over { link, answer: Removed { names: removed } })
    }

    /// Marks the tags, and removes the names of their indexes. The indexes are left as they are.
    pub(super) async fn walk_one_by_one(
        &self,
        tags: &[StoreTag],
        marking: Marking,
        remover: &dyn Remover,
    ) -> Result<Over<()>, StoreError> {
        let mut link = None;
        for tag in tags {
            let now_ms = self.clock.now_ms();
            let content =
                format!("{:032x} {now_ms} {:016x}", rand::random::<u128>(), marking.epoch.0);
            let mut mark = KeyCommand::new("SET", self.names.mark(tag));
            mark.rest = vec![content, "PX".to_owned(), lifetime_ms(marking.lasts)];
            self.send_to_key(&mark).await?;
            let mut look = KeyCommand::new("ZRANGE", self.names.index(tag));
            look.rest = vec!["0".to_owned(), "-1".to_owned()];
            let over = self.list_at_key(&look).await?;
            link.get_or_insert(over.link);
            if link != Some(over.link) {
                return Err(StoreError::Unavailable("the connection was replaced".to_owned()));
            }
            let names = over.answer.iter().filter_map(|name| self.names.read(name));
            let names: Vec<Name> = names.collect();
            // What can't be removed is noted by the remover.
            let _gone = remover.remove_members(&names).await;
        }
        Ok(Over { link: link.ok_or(StoreError::Moved)?, answer: () })
    }

    /// Sends a command that answers a number, or a word, to where its key is.
    async fn send_to_key(&self, command: &KeyCommand) -> Result<Over<u64>, StoreError> {
        let Over { link, answer } = self.send_here::<redis::Value>(command).await?;
        let number = match answer {
            Ok(redis::Value::Int(number)) => number,
            Ok(_word) => 0,
            Err(elsewhere) => match self.send_there(command, &elsewhere).await? {
                Reply::Number(number) => number,
                Reply::Error(error) => return Err(StoreError::Refused(error)),
                Reply::Value(_) | Reply::Nothing | Reply::Word(_) | Reply::List(_) => 0,
            },
        };
        Ok(Over { link, answer: u64::try_from(number).unwrap_or(0) })
    }

    /// Sends a command that answers texts to where its key is.
    async fn list_at_key(&self, command: &KeyCommand) -> Result<Over<Vec<String>>, StoreError> {
        let Over { link, answer } = self.send_here::<Vec<String>>(command).await?;
        let texts = match answer {
            Ok(texts) => texts,
            Err(elsewhere) => match self.send_there(command, &elsewhere).await? {
                Reply::List(replies) => replies.into_iter().filter_map(text).collect(),
                other @ (Reply::Value(_)
                | Reply::Nothing
                | Reply::Word(_)
                | Reply::Number(_)
                | Reply::Error(_)) => {
                    return Err(StoreError::Refused(format!("an index is answered by {other:?}")));
                }
            },
        };
        Ok(Over { link, answer: texts })
    }

    /// The node's answer, or where it points to.
    async fn send_here<T: FromRedisValue>(
        &self,
        command: &KeyCommand,
    ) -> Result<Over<Result<T, RedisError>>, StoreError> {
        let command = command.command();
        let talk = |mut connection| async move {
            match command.query_async::<T>(&mut connection).await {
                Err(error) if has_code(&error, "ASK") => Ok(Err(error)),
                answer => answer.map(Ok),
            }
        };
        self.link.exchange(talk).await
    }

    /// Sends a command to the node to which this one has pointed.
    async fn send_there(
        &self,
        command: &KeyCommand,
        pointer: &RedisError,
    ) -> Result<Reply, StoreError> {
        let place = self.place.membership().ok_or(StoreError::Moved)?;
        let (host, port) = pointer.redirect_node().ok_or(StoreError::Moved)?;
        let asking = ask(place, host, port, command.command());
        match timeout(WITHIN, asking).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(StoreError::Unavailable(error.to_string())),
            Err(_late) => Err(StoreError::Timeout(WITHIN)),
        }
    }
}

/// Asks over a connection of its own: a connection that others share would lose what `ASKING` is for.
async fn ask(place: &Membership, host: &str, port: u16, command: Cmd) -> io::Result<Reply> {
    let mut stream = place.dial(host, port).await?;
    let mut sent = redis::cmd("ASKING").get_packed_command();
    sent.extend(command.get_packed_command());
    stream.write_all(&sent).await?;
    stream.flush().await?;
    let mut arrived = BytesMut::new();
    let mut replies = Vec::new();
    while replies.len() < 2 {
        match take_reply(&mut arrived)? {
            Some(reply) => replies.push(reply),
            None if stream.read_buf(&mut arrived).await? == 0 => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            None => {}
        }
    }
    replies.pop().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn text(reply: Reply) -> Option<String> {
    match reply {
        Reply::Value(bytes) => String::from_utf8(bytes.to_vec()).ok(),
        Reply::Nothing | Reply::Word(_) | Reply::Number(_) | Reply::List(_) | Reply::Error(_) => {
            None
        }
    }
}
