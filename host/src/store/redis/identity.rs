//! A server's identity: its ids, its role and its replicas, from the text of `INFO`.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::lane::{Lane, write_command};
use super::place::StorePlace;
use super::reply::{Reply, take_reply};
use super::stream;
use crate::name::hashed;
use crate::store::{Epoch, Replicas, StoreError};

/// After how many seconds without an acknowledgement a replica counts as silent. A replica
/// acknowledges every second. One that has acknowledged something and then is silent may have been
/// promoted by a sentinel or an operator on its side of a broken network.
const SILENT_S: u64 = 3;

/// What a connection reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// `None` if the server hides its ids.
    pub(super) epoch: Option<Epoch>,
    pub(super) is_primary: bool,
    pub(super) replicas: Replicas,
}

impl Identity {
    /// The commands that ask for the sections which [`Identity::read`] reads. A node of a cluster is asked for
    /// its epoch in the cluster, too.
    pub(super) fn questions(is_member: bool) -> impl Iterator<Item = [&'static str; 2]> {
        let of_cluster = is_member.then_some(["CLUSTER", "INFO"]);
        [["INFO", "server"], ["INFO", "replication"]].into_iter().chain(of_cluster)
    }

    /// Reads the sections, in any order.
    pub(super) fn read(info: &str) -> Self {
        let field =
            |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let ids = field("run_id").zip(field("master_replid"));
        // Rises when a slot comes to the node: a slot that went away and came back has another epoch.
        let own = field("cluster_my_epoch");
        let epoch = ids.map(|(run, replication)| {
            let hash = hashed([run, replication].into_iter().chain(own));
            Epoch(hash.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte)))
        });
        let is_primary = field("role").is_none_or(|role| role == "master");
        let was_replica = field("second_repl_offset").is_some_and(|offset| offset != "-1");
        let replicas: Vec<&str> = info.lines().filter(|line| is_replica(line)).collect();
        let replicas = match (replicas.iter().any(|line| is_silent(line)), was_replica) {
            (true, _) => Replicas::Silent,
            (false, false) if replicas.is_empty() => Replicas::None,
            (false, _) => Replicas::Answering,
        };
        Self { epoch, is_primary, replicas }
    }

    /// Asks over a lane.
    pub(super) async fn ask(lane: &Lane, is_member: bool) -> Result<Self, StoreError> {
        let ask = |question: [&str; 2]| {
            lane.ask(|commands| write_command(commands, &question.map(str::as_bytes)))
        };
        let asked: Vec<_> = Self::questions(is_member).map(ask).collect();
        let mut info = String::new();
        for answered in asked {
            let closed = |_| StoreError::Unavailable("the connection was closed".to_owned());
            match answered.await.map_err(closed)?? {
                Reply::Value(text) => info.push_str(&String::from_utf8_lossy(&text)),
                // The server hides the section, which then counts as empty.
                Reply::Error(_) | Reply::Nothing => {}
                Reply::Word(_) | Reply::Number(_) | Reply::List(_) => {}
            }
            info.push('\n');
        }
        Ok(Self::read(&info))
    }

    /// Asks over a new connection to where the place leads now; the connection is closed afterwards.
    pub(super) async fn ask_anew(place: &StorePlace, within: Duration) -> Result<Self, StoreError> {
        let asking = async {
            let to = place.leads_to().await.map_err(io::Error::other)?;
            let mut stream = stream::open(&to).await?;
            let mut commands = Vec::new();
            write_command(&mut commands, &[b"INFO", b"server"]);
            write_command(&mut commands, &[b"INFO", b"replication"]);
            stream.write_all(&commands).await?;
            stream.flush().await?;
            let (mut arrived, mut info) = (bytes::BytesMut::new(), String::new());
            for _ in 0..2 {
                let reply = loop {
                    if let Some(reply) = take_reply(&mut arrived)? {
                        break reply;
                    }
                    if stream.read_buf(&mut arrived).await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                };
                if let Reply::Value(text) = reply {
                    info.push_str(&String::from_utf8_lossy(&text));
                }
                info.push('\n');
            }
            Ok(Self::read(&info))
        };
        match timeout(within, asking).await {
            Ok(Ok(identity)) => Ok(identity),
            Ok(Err(error)) => Err(StoreError::Unavailable(io::Error::to_string(&error))),
            Err(_) => Err(StoreError::Timeout(within)),
        }
    }

    /// Whether both are the same server, not restarted in between.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.epoch == other.epoch
    }
}

/// Whether this is a line like `slave0:ip=127.0.0.1,port=6380,state=online,offset=14,lag=0`.
fn is_replica(line: &str) -> bool {
    let rest = line.strip_prefix("slave").and_then(|rest| rest.split_once(':'));
    rest.is_some_and(|(number, _)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn is_silent(line: &str) -> bool {
    let field = |name: &str| {
        let value = line.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        value.and_then(|value| value.trim().parse::<u64>().ok())
    };
    field("offset").is_some_and(|offset| offset > 0)
        && field("lag").is_some_and(|lag| lag >= SILENT_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: &str = "# Server\r\nrun_id:aa\r\n# Replication\r\nrole:master\r\n\
                         connected_slaves:0\r\nmaster_replid:bb\r\nsecond_repl_offset:-1\r\n";

    #[test]
    fn either_id_changes_the_epoch_and_nothing_else_does() {
        let epoch = |info: &str| Identity::read(info).epoch.unwrap();
        assert_eq!(epoch(ALONE), epoch(&ALONE.replace("connected_slaves:0", "x:1")));
        assert_ne!(epoch(ALONE), epoch(&ALONE.replace("run_id:aa", "run_id:ab")));
        assert_ne!(epoch(ALONE), epoch(&ALONE.replace("replid:bb", "replid:bc")));
    }

    #[test]
    fn a_server_that_hides_its_ids_has_no_epoch() {
        assert_eq!(Identity::read("role:master\r\n").epoch, None);
    }

    #[test]
    fn replicas_and_an_earlier_role_are_seen() {
        let with = |line: &str| Identity::read(&format!("{ALONE}{line}\r\n")).replicas;
        assert_eq!(with(""), Replicas::None);
        let replica = |lag: u64| format!("slave0:ip=::1,port=1,state=online,offset=14,lag={lag}");
        assert_eq!(with(&replica(2)), Replicas::Answering);
        assert_eq!(with(&replica(3)), Replicas::Silent);
        // A replica that is being filled has acknowledged nothing yet.
        assert_eq!(
            with("slave0:ip=::1,port=1,state=wait_bgsave,offset=0,lag=9"),
            Replicas::Answering
        );
        let promoted = ALONE.replace("second_repl_offset:-1", "second_repl_offset:15");
        assert_eq!(Identity::read(&promoted).replicas, Replicas::Answering);
        assert!(!Identity::read(&ALONE.replace("role:master", "role:slave")).is_primary);
    }
}
