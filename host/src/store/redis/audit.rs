//! The audit of a server by `corral check`: whether the server can do what the store needs, and whether the
//! keys in it are as Corral writes them. It holds up no other client, and changes nothing.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionInfo, FromRedisValue, RedisResult, Value};
use tokio::time::Instant;

use super::cluster::RedisCluster;
use super::eviction::Eviction;
use super::names::Names;
use super::place::{StorePlace, Survey};
use super::rights::{self, Greeted, NO_SCRIPTS, NO_TIME, is_forbidden, may};
use super::unavailable;
use crate::store::{Layout, Prefix, StoreError};

/// The oldest version that has what the scripts use (`ZADD … GT`).
const OLDEST: (u32, u32) = (6, 2);

/// How long the audit waits at most: for one exchange, and for the walk over all keys.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(2);
const LOOK_LIMIT: Duration = Duration::from_secs(20);

/// Keys of one page; the server answers other clients in between.
const PAGE: usize = 500;

/// The largest number of examples in one complaint.
const EXAMPLES: usize = 5;

/// The fewest sentinels of which one may fail without an end to the majority.
const SENTINELS: usize = 3;
/// What is not known of a server that forbids `INFO`.
const NO_INFO: &str = "it forbids INFO to this user, so its version, role, memory settings and identity are \
                       not known: a restart from a snapshot or a promoted replica can't be told, and after \
                       one, old values may be answered until their lifetime ends; allow +info";

/// What is lost over a connection on which the server tells nothing by itself.
const NO_RESP3: &str = "it does not know HELLO, so it speaks RESP2 and tells nothing by itself: entities get \
                        no near cache, and waiters look 40 times a second whether a load has ended; name a \
                        server, or a proxy, that speaks RESP3";

/// What the audit itself leaves out.
const NO_LOOK: &str = "it forbids SCAN, PTTL or ZCARD to this user, so the keys in it were not looked at; allow \
                       +scan +pttl +zcard for the check";

/// The largest index that draws no complaint: one invalidation walks a larger one for seconds.
const MEMBERS: u64 = 100_000;

/// What the audit found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// The server's name and version.
    pub program: String,
    /// How many keys under the prefix were looked at.
    pub keys: usize,
    /// What is wrong and what to do about it, a sentence each.
    pub complaints: Vec<String>,
    /// What follows from the server's settings and this user's rights, a sentence each.
    pub notes: Vec<String>,
    /// Why the server tells of no changes, as a near cache needs it. `None` if it does.
    pub untold: Option<Untold>,
}

/// Why a server tells of no changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untold {
    /// It does not speak RESP3.
    Resp2,
    /// The user may not ask to be told.
    Forbidden,
}

impl Untold {
    /// What makes the server tell of changes.
    #[must_use]
    pub fn cure(self) -> &'static str {
        match self {
            Self::Resp2 => "name a server, or a proxy, that speaks RESP3",
            Self::Forbidden => "allow CLIENT TRACKING and CLIENT CACHING to this user",
        }
    }
}

/// Audits the server to which `url` leads, and the keys in it that begin with `prefix`; and the sentinels, if
/// they name the server.
///
/// # Errors
/// [`StoreError::Unavailable`] if the server does not answer, or if no majority of sentinels names one.
pub async fn audit(url: &str, prefix: &Prefix) -> Result<Audit, StoreError> {
    let place = StorePlace::parse(url)?;
    let survey = place.survey().await;
    let to = place.leads_to().await.map_err(StoreError::Unavailable)?;
    look_at(to, survey, false, prefix).await
}

/// Audits one node (`host:port`) of the cluster to which `url` leads.
///
/// # Errors
/// [`StoreError::Unavailable`] if the node does not answer.
pub async fn audit_member(url: &str, node: &str, prefix: &Prefix) -> Result<Audit, StoreError> {
    look_at(RedisCluster::login(url, node)?, None, true, prefix).await
}

async fn look_at(
    to: ConnectionInfo,
    survey: Option<Survey>,
    is_member: bool,
    prefix: &Prefix,
) -> Result<Audit, StoreError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(EXCHANGE_LIMIT))
        .set_response_timeout(Some(EXCHANGE_LIMIT));
    let client = redis::Client::open(to).map_err(|error| unavailable(&error))?;
    let greeted = rights::connect(&client, config, |config| config).await;
    let Greeted { connection, pushes } = greeted.map_err(|error| unavailable(&error))?;
    let audit = Audit {
        program: String::from("a server of an unknown version"),
        keys: 0,
        complaints: Vec::new(),
        notes: Vec::new(),
        untold: None,
    };
    let is_supervised = survey.is_some() || is_member;
    let (immortal, crowded) = (Vec::new(), Vec::new());
    let mut auditor = Auditor { connection, audit, is_supervised, is_member, immortal, crowded };
    if let Some(survey) = &survey {
        auditor.sentinels(survey);
    }
    let looked = async {
        auditor.server().await?;
        auditor.needs().await?;
        auditor.pushes(pushes, prefix).await?;
        match auditor.contents(prefix).await {
            Err(error) if is_forbidden(&error) => {
                auditor.note(NO_LOOK);
                Ok(())
            }
            looked => looked,
        }
    };
    looked.await.map_err(|error| unavailable(&error))?;
    Ok(auditor.finish())
}

struct Auditor {
    connection: MultiplexedConnection,
    audit: Audit,
    /// Whether others judge which server is the primary.
    is_supervised: bool,
    /// Whether the server was reached as a node of its cluster.
    is_member: bool,
    immortal: Vec<String>,
    crowded: Vec<String>,
}

impl Auditor {
    async fn ask<T: FromRedisValue>(&mut self, words: &[&str]) -> RedisResult<T> {
        let mut command = redis::Cmd::new();
        words.iter().for_each(|word| {
            command.arg(*word);
        });
        command.query_async(&mut self.connection).await
    }

    fn complain(&mut self, complaint: impl Into<String>) {
        self.audit.complaints.push(complaint.into());
    }

    fn sentinels(&mut self, survey: &Survey) {
        let Survey { name, all, answering, first, silent, no_quorum } = survey;
        if let Some((address, votes)) = first {
            self.note(format!(
                "{answering} of {all} sentinels answer, and {votes} of them name {address} as {name:?}"
            ));
        }
        for (address, why) in silent {
            self.note(format!("the sentinel at {address} is silent: {why}"));
        }
        if *all < SENTINELS {
            self.note(format!(
                "with fewer than {SENTINELS} sentinels, one that fails leaves no majority: then nothing \
                 fails over, and the store is not used"
            ));
        }
        if let Some(why) = no_quorum {
            self.complain(format!("its sentinels could not fail over now ({why})"));
        }
        self.note(
            "when a server is named that is new to a host, it is watched for two seconds before it is used",
        );
    }

    fn note(&mut self, note: impl Into<String>) {
        self.audit.notes.push(note.into());
    }

    async fn server(&mut self) -> RedisResult<()> {
        let info: String = match self.ask(&["INFO"]).await {
            Err(error) if is_forbidden(&error) => {
                self.complain(NO_INFO);
                return Ok(());
            }
            info => info?,
        };
        let field = |name: &str| {
            info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or("")
        };
        // Valkey says under its first name that it is Redis 7.2.4.
        match (field("valkey_version"), field("redis_version")) {
            ("", "") => {}
            ("", redis) => self.audit.program = format!("Redis {redis}"),
            (valkey, _) => self.audit.program = format!("Valkey {valkey}"),
        }
        if version(field("redis_version")).is_some_and(|found| found < OLDEST) {
            let (major, minor) = OLDEST;
            let found = field("redis_version");
            self.complain(format!("it is Redis {found}; {major}.{minor} or newer is needed"));
        }
        if field("run_id").is_empty() || field("master_replid").is_empty() {
            self.complain(
                "it hides its identity (run_id and master_replid in INFO), so a restart from a snapshot \
                 or a promoted replica can't be told: after one, old values may be answered until \
                 their lifetime ends; allow INFO to this user",
            );
        }
        if field("role") == "slave" {
            let master = field("master_host");
            self.complain(format!(
                "it is a replica (of {master}) and takes no writes; name the primary"
            ));
        }
        let has_replicas = field("connected_slaves").parse::<u64>().is_ok_and(|count| count > 0);
        let was_replica = !matches!(field("second_repl_offset"), "" | "-1");
        if !self.is_supervised && (has_replicas || was_replica) {
            self.note(
                "it has replicas, or was one: after a failover, and when it is new to a host, it is \
                 watched for four seconds before it is used; move the address only after the old primary \
                 takes no writes any more",
            );
        }
        let eviction = Eviction::read(&info);
        self.audit.complaints.extend(eviction.as_ref().and_then(Eviction::complaint));
        self.audit.notes.extend(eviction.as_ref().and_then(Eviction::note));
        if field("cluster_enabled") == "1" && !self.is_member {
            self.complain(
                "it runs in cluster mode: name the cluster, as redis+cluster://host:port,host:port",
            );
        }
        Ok(())
    }

    /// What every host needs.
    async fn needs(&mut self) -> RedisResult<()> {
        if !rights::may_run_scripts(&self.connection).await? {
            self.complain(NO_SCRIPTS);
        }
        if !may(self.ask::<Value>(&["TIME"]).await)? {
            self.complain(NO_TIME);
        }
        Ok(())
    }

    /// What the server tells by itself. Hosts do without it, and then are slower.
    async fn pushes(&mut self, are_known: bool, prefix: &Prefix) -> RedisResult<()> {
        if !are_known {
            self.audit.untold = Some(Untold::Resp2);
            self.note(NO_RESP3);
            return Ok(());
        }
        let channel = Names { prefix: prefix.clone(), layout: Layout::Single }.settled_channel();
        let mut forbidden = Vec::new();
        if !may(self.connection.subscribe(&channel).await)? {
            forbidden.push("SUBSCRIBE");
        }
        if !rights::may_publish(&mut self.connection, &channel).await? {
            forbidden.push("PUBLISH");
        }
        if !forbidden.is_empty() {
            self.note(format!(
                "it forbids {} on {channel} to this user, so it tells no waiter that a load has ended: \
                 waiters look 40 times a second; allow +subscribe +publish &{channel}",
                forbidden.join(" and ")
            ));
        }
        if !rights::tracking(&mut self.connection).await? {
            self.audit.untold = Some(Untold::Forbidden);
        }
        Ok(())
    }

    /// Looks at every key under the prefix, page by page.
    async fn contents(&mut self, prefix: &Prefix) -> RedisResult<()> {
        let until = Instant::now() + LOOK_LIMIT;
        let mut cursor = String::from("0");
        loop {
            let page = PAGE.to_string();
            let (next, mut keys): (String, Vec<String>) =
                self.ask(&["SCAN", &cursor, "COUNT", &page]).await?;
            keys.retain(|key| key.starts_with(prefix.as_str()));
            self.page(&keys, prefix).await?;
            cursor = next;
            if cursor == "0" {
                return Ok(());
            }
            if Instant::now() > until {
                let keys = self.audit.keys;
                self.complain(format!(
                    "only {keys} keys were looked at within {LOOK_LIMIT:?}; the others may be wrong"
                ));
                return Ok(());
            }
        }
    }

    async fn page(&mut self, keys: &[String], prefix: &Prefix) -> RedisResult<()> {
        let index = format!("{}tags:{{", prefix.as_str());
        if keys.is_empty() {
            return Ok(());
        }
        self.audit.keys += keys.len();
        let mut pipeline = redis::pipe();
        keys.iter().for_each(|key| {
            pipeline.cmd("PTTL").arg(key);
        });
        let left: Vec<i64> = pipeline.query_async(&mut self.connection).await?;
        let immortal = keys.iter().zip(left).filter(|(_, left_ms)| *left_ms == -1);
        self.immortal.extend(immortal.map(|(key, _)| key.clone()));
        for index in keys.iter().filter(|key| key.starts_with(&index)) {
            match self.ask::<u64>(&["ZCARD", index]).await {
                Ok(members) if members > MEMBERS => {
                    self.crowded.push(format!("{index} ({members})"));
                }
                Ok(_) => {}
                Err(error) if error.is_io_error() || is_forbidden(&error) => return Err(error),
                Err(_) => self.complain(format!(
                    "{index} is no index but something that another program wrote; delete it, or \
                     give that program names of its own"
                )),
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Audit {
        if !self.immortal.is_empty() {
            let (count, examples) = (self.immortal.len(), examples(&self.immortal));
            self.complain(format!(
                "{count} keys under its prefix have no lifetime, so another program wrote them \
                 ({examples}); delete them or give them one with EXPIRE"
            ));
        }
        if !self.crowded.is_empty() {
            let (count, examples) = (self.crowded.len(), examples(&self.crowded));
            self.complain(format!(
                "{count} tags have more than {MEMBERS} keys in their index ({examples}); an \
                 invalidation walks them all, so tag more finely"
            ));
        }
        self.audit
    }
}

fn examples(of: &[String]) -> String {
    let shown = of.iter().take(EXAMPLES).cloned().collect::<Vec<_>>().join(", ");
    if of.len() > EXAMPLES { format!("{shown}, …") } else { shown }
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_compared_by_its_numbers() {
        assert!(version("6.0.16").unwrap() < OLDEST);
        assert!(version("6.2.0").unwrap() >= OLDEST && version("10.0.1").unwrap() >= OLDEST);
        assert_eq!(version("unstable"), None);
    }

    #[test]
    fn a_few_examples_stand_for_many() {
        let names: Vec<_> = (0..7).map(|n| n.to_string()).collect();
        assert_eq!(examples(&names[..2]), "0, 1");
        assert_eq!(examples(&names), "0, 1, 2, 3, 4, …");
    }
}
