//! Sentinels: where the primary of a name is, by the word of most of them.
//!
//! All are asked at once, over connections of their own that stay open between questions, and an answer
//! counts once more than half of *all* sentinels name one address: those of the URL, and those that any of
//! them has told of. A sentinel that names a new primary does not go back to the one before without another
//! failover, and two majorities share a sentinel. So once a host has seen a majority name the new primary, no
//! host that asks later sees one name the old primary.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo};
use tokio::time::{Instant, timeout};

pub(super) use super::replies::NodeAddress;
use super::replies::{Ballot, SentinelAnswer, majority};
use crate::store::redis::lane::{Lane, write_command};
use crate::store::redis::reply::Reply;

/// How long a sentinel may take to answer, a new connection included: a few round trips over a slow network,
/// and still so short that a question has time for a second sentinel that the first one told of.
const SILENCE: Duration = Duration::from_millis(250);

/// How long a sentinel counts among all after it was last told of. One that was just reset tells of no others
/// for two seconds; one that was taken out of service for good is told of until it is reset everywhere.
const REMEMBERED: Duration = Duration::from_secs(60);

/// The largest number of sentinels that are asked. Most deployments have three or five.
const MOST: usize = 64;

/// A name that sentinels know, and what connections need beside an address.
pub(super) struct NamedPrimary {
    pub(super) sentinels: Vec<NodeAddress>,
    pub(super) name: String,
    /// Whether connections to the primary and to sentinels are encrypted.
    pub(super) has_tls: bool,
    /// What connections to the primary need.
    pub(super) settings: RedisConnectionInfo,
    /// What connections to sentinels need.
    pub(super) sentinel_settings: RedisConnectionInfo,
}

/// The sentinels of one name.
pub(in crate::store::redis) struct Sentinels {
    named: NamedPrimary,
    heard: Mutex<KnownSentinels>,
}

/// What was heard of the sentinels so far.
#[derive(Default)]
struct KnownSentinels {
    lanes: BTreeMap<NodeAddress, Arc<Lane>>,
    /// The id with which an address of the URL answered last.
    ids: BTreeMap<NodeAddress, String>,
    /// Every sentinel by its id: its address, if another one told it, and when it was told of last.
    all: BTreeMap<String, (Option<NodeAddress>, Instant)>,
}

/// What all sentinels say, for an operator.
pub(in crate::store::redis) struct Survey {
    /// The name of the primary.
    pub(in crate::store::redis) name: String,
    /// How many sentinels there are.
    pub(in crate::store::redis) all: usize,
    /// How many of them answer.
    pub(in crate::store::redis) answering: usize,
    /// The address that most of them name, and how many do.
    pub(in crate::store::redis) first: Option<(NodeAddress, usize)>,
    /// The addresses that brought no answer, with the reason.
    pub(in crate::store::redis) silent: BTreeMap<NodeAddress, String>,
    /// Why sentinels say that they could not fail over now.
    pub(in crate::store::redis) no_quorum: Option<String>,
}

impl Sentinels {
    pub(super) fn new(named: NamedPrimary) -> Self {
        Self { named, heard: Mutex::default() }
    }

    /// Where the primary is at this moment, and what a connection to it needs.
    pub(super) async fn leads_to(self: &Arc<Self>) -> Result<ConnectionInfo, String> {
        let ballot = self.ask_all(|ballot| ballot.winner(self.count()).is_some()).await;
        let winner = ballot.winner(self.count()).ok_or_else(|| self.undecided(&ballot))?;
        self.connection_info(winner, &self.named.settings)
    }

    /// Asks every sentinel, and waits for all of them.
    pub(super) async fn survey(self: &Arc<Self>) -> Survey {
        let ballot = self.ask_all(|_| false).await;
        let first = ballot.first().map(|(address, votes)| (address.clone(), votes));
        Survey {
            name: self.named.name.clone(),
            all: self.count(),
            answering: ballot.answering(),
            first,
            no_quorum: self.ask_quorum().await,
            silent: ballot.silent,
        }
    }

    /// Asks all sentinels at once, also those that are first told of meanwhile, until the answers are enough.
    /// Those that are slower are heard in tasks of their own, so that their connections are opened and kept.
    async fn ask_all(self: &Arc<Self>, is_enough: impl Fn(&Ballot) -> bool) -> Ballot {
        let mut asking = FuturesUnordered::new();
        let mut asked = BTreeSet::new();
        let mut ballot = Ballot::default();
        loop {
            for address in self.addresses() {
                if asked.insert(address.clone()) {
                    let this = Arc::clone(self);
                    asking.push(tokio::spawn(async move {
                        let answer = this.ask(&address).await;
                        (address, answer)
                    }));
                }
            }
            match asking.next().await {
                Some(Ok((_, Ok(answer)))) => ballot.add(&answer),
                Some(Ok((address, Err(why)))) => _ = ballot.silent.insert(address, why),
                // The runtime ends, and its tasks with it.
                Some(Err(_)) => {}
                None => return ballot,
            }
            if is_enough(&ballot) {
                return ballot;
            }
        }
    }

    /// Where sentinels are asked: the addresses of the URL, and those of sentinels that no such address leads
    /// to.
    fn addresses(&self) -> Vec<NodeAddress> {
        let mut heard = self.heard();
        let known: BTreeSet<&String> = heard.ids.values().collect();
        let told = heard.all.iter().filter(|(id, _)| !known.contains(id));
        let told = told.filter_map(|(_, (address, _))| address.as_ref());
        let all = self.named.sentinels.iter().chain(told);
        let addresses: Vec<_> = all.take(MOST).cloned().collect();
        heard.lanes.retain(|address, _| addresses.contains(address));
        addresses
    }

    /// How many sentinels there are, also those that do not answer. As many as the URL has addresses, at least.
    fn count(&self) -> usize {
        let mut heard = self.heard();
        let now = Instant::now();
        heard.all.retain(|_, (_, told)| now.duration_since(*told) < REMEMBERED);
        heard.all.len().max(self.named.sentinels.len())
    }

    fn hear(&self, address: &NodeAddress, answer: &SentinelAnswer) {
        let mut heard = self.heard();
        let now = Instant::now();
        if self.named.sentinels.contains(address) {
            heard.ids.insert(address.clone(), answer.id.clone());
        }
        let known = heard.all.get(&answer.id).and_then(|(address, _)| address.clone());
        heard.all.insert(answer.id.clone(), (known, now));
        for (id, address) in &answer.others {
            heard.all.insert(id.clone(), (Some(address.clone()), now));
        }
    }

    /// Asks one sentinel. A connection that was kept may have ended with the sentinel's restart, so a second
    /// one is tried.
    async fn ask(&self, address: &NodeAddress) -> Result<SentinelAnswer, String> {
        let asking = async {
            let kept = self.heard().lanes.get(address).cloned();
            if let Some(lane) = kept
                && let Ok(answer) = self.ask_over(&lane).await
            {
                return Ok(answer);
            }
            let lane = self.open(address).await?;
            let answer = self.ask_over(&lane).await?;
            self.heard().lanes.insert(address.clone(), lane);
            Ok(answer)
        };
        let answer = timeout(SILENCE, asking).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {SILENCE:?}")));
        match &answer {
            Ok(answer) => self.hear(address, answer),
            Err(_) => _ = self.heard().lanes.remove(address),
        }
        answer
    }

    async fn open(&self, address: &NodeAddress) -> Result<Arc<Lane>, String> {
        let to = self.connection_info(address, &self.named.sentinel_settings)?;
        Lane::open(&to, SILENCE).await.map(Arc::new).map_err(|error| error.to_string())
    }

    async fn ask_over(&self, lane: &Lane) -> Result<SentinelAnswer, String> {
        let name = self.named.name.as_bytes();
        // All are written before the first answer is waited for.
        let asked = [
            say(lane, &[b"SENTINEL", b"MYID"]),
            say(lane, &[b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", name]),
            say(lane, &[b"SENTINEL", b"SENTINELS", name]),
        ];
        let [id, primary, others] = asked;
        SentinelAnswer::read([id.await?, primary.await?, others.await?])
    }

    /// Why sentinels say that they could not fail over now; `None` if none of them says so.
    async fn ask_quorum(&self) -> Option<String> {
        let lanes: Vec<_> = self.heard().lanes.values().cloned().collect();
        for lane in lanes {
            let asked = say(&lane, &[b"SENTINEL", b"CKQUORUM", self.named.name.as_bytes()]);
            if let Ok(Reply::Error(why)) = asked.await
                && why.starts_with("NOQUORUM")
            {
                return Some(why);
            }
        }
        None
    }

    fn undecided(&self, ballot: &Ballot) -> String {
        let Self { named: NamedPrimary { name, .. }, .. } = self;
        let (all, answering) = (self.count(), ballot.answering());
        let reason = ballot.silent.iter().next();
        let reason =
            reason.map(|(address, why)| format!(" ({address}: {why})")).unwrap_or_default();
        match ballot.first() {
            None if answering == 0 => format!("no sentinel answers{reason}"),
            None => format!("no sentinel knows a primary {name:?}{reason}"),
            Some((_, votes)) => format!(
                "{votes} of {all} sentinels name one address for {name:?}, and {} have to{reason}",
                majority(all)
            ),
        }
    }

    fn connection_info(
        &self,
        address: &NodeAddress,
        settings: &RedisConnectionInfo,
    ) -> Result<ConnectionInfo, String> {
        let NodeAddress { host, port } = address.clone();
        let address = match self.named.has_tls {
            false => ConnectionAddr::Tcp(host, port),
            true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        };
        let to = address.into_connection_info().map_err(|error| error.to_string())?;
        Ok(to.set_redis_settings(settings.clone()))
    }

    fn heard(&self) -> MutexGuard<'_, KnownSentinels> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a command at once, and returns its answer later.
fn say(lane: &Lane, words: &[&[u8]]) -> impl Future<Output = Result<Reply, String>> + use<> {
    let answered = lane.ask(|commands| write_command(commands, words));
    async move {
        let answer = answered.await.map_err(|_| "the connection was closed".to_owned())?;
        answer.map_err(|error| error.to_string())
    }
}
