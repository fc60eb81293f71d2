//! Which server answers, in which of its lives, and over which connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use corral_host::store::{Beat, Confirmation, HostCard, Over, RangeId, Replicas};
use corral_tests::servers::until;
use tokio::net::{TcpListener, TcpStream};

use super::*;

#[tokio::test]
async fn a_restart_is_another_epoch_over_another_link() {
    let mut server = Server::start().await;
    let store = server.store(BUDGET);
    let before = beat(&store).await;
    assert_eq!(reached(&store).await, before.answer.epoch);
    server.0.restart().await.unwrap();
    let after = beat(&store).await;
    assert_ne!(after.answer.epoch, before.answer.epoch);
    assert_ne!(after.link, before.link);
    assert_eq!(reached(&store).await, after.answer.epoch);
    assert_eq!(after.answer.range_versions, [0], "nothing of the range is left");
}

#[tokio::test]
async fn connections_that_are_opened_anew_reach_the_same_epoch_over_another_link() {
    let server = Server::start().await;
    let store = server.store(BUDGET);
    let before = beat(&store).await;
    store.relink("as the test wants it");
    tokio::time::timeout(PATIENCE, store.relinked(before.link)).await.unwrap();
    let after = beat(&store).await;
    assert_eq!(after.answer.epoch, before.answer.epoch);
    assert_ne!(after.link, before.link);
    assert_eq!(store.get(&name("k")).await.unwrap().link, after.link);
}

#[tokio::test]
async fn connections_that_were_killed_are_replaced_by_another_link() {
    let server = Server::start().await;
    let store = server.store(BUDGET);
    let before = beat(&store).await;
    redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal"]).exec(&mut server.admin()).unwrap();
    redis::cmd("CLIENT").arg(&["KILL", "TYPE", "pubsub"]).exec(&mut server.admin()).unwrap();
    tokio::time::timeout(PATIENCE, store.relinked(before.link)).await.unwrap();
    assert_eq!(beat(&store).await.answer.epoch, before.answer.epoch);
}

#[tokio::test]
async fn a_demotion_is_seen_by_a_beat_and_a_promotion_is_another_epoch() {
    let (server, other) = (Server::start().await, Server::start().await);
    let store = server.store(BUDGET);
    let before = beat(&store).await.answer;
    assert!(before.is_primary && before.replicas == Replicas::None);
    follow(&server, Some(&other));
    until_beat(&store, "the demotion", |beat| !beat.is_primary).await;
    follow(&server, None);
    let after = until_beat(&store, "the promotion", |beat| beat.is_primary).await;
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(after.replicas, Replicas::Answering, "it was a replica, so others may be about");
}

#[tokio::test]
async fn a_replica_that_answers_and_one_that_falls_silent_are_seen_by_a_beat() {
    let (server, replica) = (Server::start().await, Server::start().await);
    let store = server.store(BUDGET);
    follow(&replica, Some(&server));
    until_beat(&store, "the replica", |beat| beat.replicas == Replicas::Answering).await;
    // The replica has to acknowledge something before it falls silent.
    until("an acknowledgement", async || acknowledged(&server) > 0).await;
    replica.0.stop().unwrap();
    until_beat(&store, "its silence", |beat| beat.replicas == Replicas::Silent).await;
    replica.0.cont().unwrap();
    until_beat(&store, "its return", |beat| beat.replicas == Replicas::Answering).await;
}

#[tokio::test]
async fn a_confirmation_reaches_the_address_anew() {
    let (first, second) = (Server::start().await, Server::start().await);
    let door = Door::open(&[&first, &second]).await;
    door.lead_to(&[0]);
    let store = RedisStore::connect(&door.url(), Prefix::default(), BUDGET).unwrap();
    let before = beat(&store).await;
    assert_eq!(reached(&store).await, before.answer.epoch);
    // Open connections stay where they are.
    door.lead_to(&[1]);
    assert_ne!(reached(&store).await, before.answer.epoch);
    assert_eq!(beat(&store).await.link, before.link);
    store.relink("the address leads elsewhere");
    tokio::time::timeout(PATIENCE, store.relinked(before.link)).await.unwrap();
    assert_eq!(beat(&store).await.answer.epoch, reached(&store).await);
}

#[tokio::test]
async fn an_address_that_leads_to_two_servers_is_refused_with_words() {
    let (first, second) = (Server::start().await, Server::start().await);
    let door = Door::open(&[&first, &second]).await;
    door.lead_to(&[0, 1]);
    let store = RedisStore::connect(&door.url(), Prefix::default(), BUDGET).unwrap();
    for _ in 0..5 {
        let Err(StoreError::Unavailable(why)) = store.beat(&[RangeId::FIRST]).await else {
            panic!("two servers were taken for one")
        };
        assert!(why.contains("the address leads to more than one server"), "{why}");
        let Err(StoreError::Unavailable(why)) = store.get(&name("k")).await else {
            panic!("a value was read from one of two servers")
        };
        assert!(why.contains("the address leads to more than one server"), "{why}");
    }
    // There is one server again, so the store is used.
    door.lead_to(&[0]);
    assert!(beat(&store).await.answer.epoch.is_some());
}

#[tokio::test]
async fn a_server_that_hides_its_identity_is_used_without_an_epoch() {
    let server = Server::start().await;
    redis::cmd("ACL")
        .arg(&["SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-info"])
        .exec(&mut server.admin())
        .unwrap();
    let url = format!("redis://app:secret@127.0.0.1:{}", server.0.port());
    let store = RedisStore::connect(&url, Prefix::default(), BUDGET).unwrap();
    let beat = beat(&store).await.answer;
    assert!(beat.epoch.is_none() && beat.is_primary, "{beat:?}");
    assert_eq!(reached(&store).await, None);
}

#[tokio::test]
async fn hosts_see_each_other_until_they_leave() {
    let server = Server::start().await;
    let (here, there) = (server.store(BUDGET), server.store(BUDGET));
    let card = |id: &str, format| HostCard {
        id: id.to_owned(),
        format,
        version: "1.0.0".to_owned(),
        policy: "corral-core@1.0.0".to_owned(),
        ..HostCard::default()
    };
    assert_eq!(here.enlist(&card("a", 1)).await.unwrap().alive, [card("a", 1)]);
    let mut hosts = there.enlist(&card("b", 2)).await.unwrap().alive;
    hosts.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(hosts, [card("a", 1), card("b", 2)]);
    here.delist("a").await.unwrap();
    assert_eq!(there.enlist(&card("b", 2)).await.unwrap().alive, [card("b", 2)]);
    assert_eq!(server.keys_without_lifetime().await, Vec::<String>::new());
}

#[tokio::test]
async fn deployments_of_two_prefixes_share_a_server_and_see_nothing_of_each_other() {
    let server = Server::start().await;
    let shop = Prefix::try_new("shop:").unwrap();
    let ours = server.store(BUDGET);
    let theirs = RedisStore::connect(&server.url(), shop.clone(), BUDGET).unwrap();
    let range = ours.publish(FIRST, &[]).await.unwrap().answer;
    assert_eq!(theirs.read_ranges(FIRST).await.unwrap().answer[0].version, 0);
    theirs.publish(FIRST, &[]).await.unwrap();
    assert_eq!(ours.read_ranges(FIRST).await.unwrap().answer[0].floors, range[0].floors);
    let key = StoreKey::try_new("k").unwrap();
    let theirs_name = Name::new(&shop, &Digest::of(["e"]), &key);
    assert_ne!(theirs_name, name("k"));
    let all = server.0.keys("*").await.unwrap();
    assert!(all.iter().all(|key| key.starts_with("corral:1:") || key.starts_with("shop:1:")));
}

/// A beat, once the store answers one.
const FIRST: &[RangeId] = &[RangeId::FIRST];

/// The epoch that a new connection reaches.
async fn reached(store: &RedisStore) -> Option<Epoch> {
    match store.confirm().await.unwrap() {
        Confirmation::Reached(epoch) => epoch,
        Confirmation::Named { .. } => panic!("nobody names a single node"),
    }
}

async fn beat(store: &RedisStore) -> Over<Beat> {
    let begun = Instant::now();
    loop {
        match store.beat(&[RangeId::FIRST]).await {
            Ok(beat) => return beat,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "still {error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The first beat for which `wanted` holds.
async fn until_beat(store: &RedisStore, what: &str, wanted: impl Fn(&Beat) -> bool) -> Beat {
    let begun = Instant::now();
    loop {
        let Over { answer, .. } = beat(store).await;
        if wanted(&answer) {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Makes a server the replica of another one; a primary if `of` is `None`.
fn follow(server: &Server, of: Option<&Server>) {
    let mut command = redis::cmd("REPLICAOF");
    match of {
        Some(primary) => command.arg("127.0.0.1").arg(primary.0.port()),
        None => command.arg(&["NO", "ONE"]),
    };
    command.exec(&mut server.admin()).unwrap();
}

/// The offset that a server's first replica has acknowledged.
fn acknowledged(server: &Server) -> u64 {
    let info: String = redis::cmd("INFO").arg("replication").query(&mut server.admin()).unwrap();
    let offset = info.lines().find_map(|line| line.split_once("offset=")?.1.split(',').next());
    offset.and_then(|offset| offset.parse().ok()).unwrap_or(0)
}

/// An address in front of several servers, like a balancer's (a door): it leads connections to some
/// of the servers in turn.
struct Door {
    port: u16,
    turn: Arc<std::sync::Mutex<Vec<usize>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Door {
    async fn open(servers: &[&Server]) -> Self {
        let ports: Vec<u16> = servers.iter().map(|server| server.0.port()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let turn = Arc::new(std::sync::Mutex::new(vec![0]));
        let (turns, opened) = (Arc::clone(&turn), AtomicUsize::new(0));
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let server = {
                    let turns = turns.lock().unwrap();
                    turns[opened.fetch_add(1, Ordering::SeqCst) % turns.len()]
                };
                let mut server = TcpStream::connect(("127.0.0.1", ports[server])).await.unwrap();
                tokio::spawn(async move {
                    // Either side may close it.
                    let _closed = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { port, turn, task }
    }

    /// From now on connections are led to these servers, by number.
    fn lead_to(&self, servers: &[usize]) {
        *self.turn.lock().unwrap() = servers.to_vec();
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}
