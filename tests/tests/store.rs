//! The store suite over memory and over a real Redis, and what can be tested only with a real
//! server.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "store/distant.rs"]
mod distant;
#[path = "store/editions.rs"]
mod editions;
#[path = "store/faulty.rs"]
mod faulty;
#[path = "store/identity.rs"]
mod identity;
#[path = "store/places.rs"]
mod places;
#[path = "store/server.rs"]
mod server;
#[path = "store/tracking.rs"]
mod tracking;

use std::time::{Duration, Instant};

use bytes::Bytes;
use corral_host::store::{
    Claim, Claimed, Digest, Envelope, Epoch, Filled, Fingerprint, LeaseToken, Marking, MemoryStore,
    Mode, Name, Prefix, RedisStore, Stamp, Store, StoreError, StoreKey, StoreTag,
};
use corral_tests::conformance::{self, Doomed, invalidate, model};
use faulty::{Fault, Faulty};
use server::Server;

/// Long, since the machine may be busy. A test that is about time measures it itself.
const BUDGET: Duration = Duration::from_secs(2);

/// A budget whose end a test waits for.
const SHORT_BUDGET: Duration = Duration::from_millis(150);

/// A link looks for its server ten times a second; the rest is a margin for a busy machine.
const SOON_AGAIN: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn memory_passes_the_suite() {
    let checks = conformance::run_all(&MemoryStore::default(), "t").await.unwrap();
    assert!(checks >= 50, "only {checks} checks ran");
}

#[tokio::test]
async fn redis_passes_the_suite_and_leaves_no_key_without_a_lifetime() {
    let server = Server::start().await;
    let store = server.store(BUDGET);
    conformance::run_all(&store, "t").await.unwrap();
    assert_eq!(store.unreadable(), 0);
    assert!(server.keys() > 10, "nothing to look at");
    assert_eq!(server.keys_without_lifetime().await, Vec::<String>::new());
}

#[tokio::test]
async fn redis_passes_the_suite_while_its_scripts_are_flushed_again_and_again() {
    let server = Server::start().await;
    let store = server.store(BUDGET);
    let mut admin = server.admin();
    let flushing = tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(1) {
            redis::cmd("SCRIPT").arg("FLUSH").exec(&mut admin).unwrap();
        }
    });
    let mut rounds = 0;
    while !flushing.is_finished() {
        conformance::run_all(&store, &format!("t{rounds}")).await.unwrap();
        rounds += 1;
    }
    flushing.await.unwrap();
}

#[tokio::test]
async fn redis_passes_the_suite_as_a_user_who_may_neither_publish_nor_subscribe() {
    let server = Server::start().await;
    redis::cmd("ACL")
        .arg(&["SETUSER", "app", "on", ">secret", "~*", "resetchannels", "+@all"])
        .exec(&mut server.admin())
        .unwrap();
    let url = format!("redis://app:secret@127.0.0.1:{}", server.0.port());
    let store = RedisStore::connect(&url, Prefix::default(), BUDGET).unwrap();
    conformance::run_all(&store, "t").await.unwrap();
}

#[test]
fn both_stores_agree_with_the_model_on_random_sequences() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let memory = MemoryStore::default();
    model::compare(&runtime, &memory, "m", 1, 2000).unwrap();
    let server = runtime.block_on(Server::start());
    let redis = runtime.block_on(async { server.store(BUDGET) });
    model::compare(&runtime, &redis, "m", 2, 300).unwrap();
    redis::cmd("SCRIPT").arg("FLUSH").exec(&mut server.admin()).unwrap();
    model::compare(&runtime, &redis, "flushed", 3, 300).unwrap();
    assert_eq!(runtime.block_on(server.keys_without_lifetime()), Vec::<String>::new());
}

#[tokio::test]
async fn the_suite_catches_a_store_with_a_protection_switched_off() {
    for (fault, caught_by) in [
        (Fault::FillWithoutLease, "a_late_fill_after_an_invalidation_is_rejected"),
        (Fault::InvalidationLeavesLeases, "a_load_in_progress_is_revoked_by_its_tag"),
        (Fault::ClaimDoesNotLook, "a_claim_looks_again"),
        (Fault::EveryClaimTakesOver, "only_one_of_many_claims_is_granted"),
        (Fault::AnyoneReleases, "only_the_holder_releases"),
        (Fault::NoMark, "a_mark_is_seen_and_ends"),
        (Fault::IndexForgets, "a_tag_invalidation_removes_the_values_of_all_members"),
        (Fault::OnlyTheFirstTag, "a_name_is_written_into_many_indexes_at_once"),
        (Fault::FloorsStand, "a_floor_that_is_raised_changes_and_no_other_does"),
    ] {
        let store = Faulty::new(fault);
        conformance::run_one(&MemoryStore::default(), "t", caught_by).await.unwrap();
        let checked = conformance::run_one(&store, "t", caught_by).await;
        assert!(checked.is_err(), "{fault:?} was not caught by {caught_by}");
    }
}

#[test]
fn the_model_catches_a_store_with_a_protection_switched_off() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for fault in [
        Fault::FillWithoutLease,
        Fault::InvalidationLeavesLeases,
        Fault::ClaimDoesNotLook,
        Fault::EveryClaimTakesOver,
        Fault::AnyoneReleases,
        Fault::NoMark,
        Fault::IndexForgets,
        Fault::OnlyTheFirstTag,
    ] {
        let store = Faulty::new(fault);
        let compared = model::compare(&runtime, &store, "m", 3, 500);
        assert!(compared.is_err(), "{fault:?} was not caught");
    }
}

#[tokio::test]
async fn memory_and_redis_tell_of_changes() {
    let memory = MemoryStore::default();
    conformance::run_tracking(&memory, &memory, "t").await.unwrap();
    let server = Server::start().await;
    let (here, there) = (server.store(BUDGET), server.store(BUDGET));
    conformance::run_tracking(&here, &there, "t").await.unwrap();
    redis::cmd("SCRIPT").arg("FLUSH").exec(&mut server.admin()).unwrap();
    conformance::run_tracking(&here, &there, "flushed").await.unwrap();
}

#[tokio::test]
async fn a_store_that_tells_nobody_is_caught() {
    let silent = Faulty::new(Fault::TellsNobody);
    let error = conformance::run_tracking(&silent, &silent, "t").await.unwrap_err();
    assert!(error.to_string().contains("was heard of 0 times"), "{error:#}");
}

#[tokio::test]
async fn a_server_that_is_down_at_the_start_is_used_once_it_is_up() {
    let mut server = Server::start().await;
    server.0.kill();
    let store = server.store(BUDGET);
    let error = ping(&store).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    server.0.restart().await.unwrap();
    works_again(&store).await;
    conformance::run_all(&store, "t").await.unwrap();
}

#[tokio::test]
async fn calls_fail_within_the_budget_while_the_server_is_killed_and_work_after_its_restart() {
    let mut server = Server::start().await;
    let store = server.store(SHORT_BUDGET);
    works_again(&store).await;
    server.0.kill();
    for _ in 0..20 {
        fails_within_the_budget(&store).await;
    }
    server.0.restart().await.unwrap();
    let took = works_again(&store).await;
    assert!(took < SOON_AGAIN, "it took {took:?} to see the server again");
    drop(store);
    conformance::run_all(&server.store(BUDGET), "t").await.unwrap();
}

#[tokio::test]
async fn calls_fail_within_the_budget_while_the_server_is_stopped_and_work_when_it_goes_on() {
    let server = Server::start().await;
    let store = server.store(SHORT_BUDGET);
    works_again(&store).await;
    let (name, token) = (name("k"), LeaseToken::new(1));
    let claim = Claim { name: &name, token, lease: PATIENCE, seen_ms: 0, mode: Mode::IfFree };
    store.claim(claim).await.unwrap();

    server.0.stop().unwrap();
    for _ in 0..12 {
        fails_within_the_budget(&store).await;
    }
    server.0.cont().unwrap();
    let took = works_again(&store).await;
    assert!(took < SOON_AGAIN, "it took {took:?} to see the server again");
    for _ in 0..20 {
        ping(&store).await.unwrap();
    }
    // The lease from before is still there: nothing was lost, and the call that timed out did no
    // harm.
    assert_eq!(store.fill(&name, token, &envelope(&store)).await.unwrap().answer, Filled::Stored);
}

#[tokio::test]
async fn a_waiter_is_released_when_the_server_dies() {
    let server = Server::start().await;
    let store = server.store(BUDGET);
    let name = name("k");
    let claim = |token| Claim {
        name: &name,
        token: LeaseToken::new(token),
        lease: PATIENCE,
        seen_ms: 0,
        mode: Mode::IfFree,
    };
    store.claim(claim(1)).await.unwrap();
    let begun = Instant::now();
    let kill = async {
        for _ in 0..4 {
            ping(&store).await.unwrap();
        }
        drop(server);
    };
    tokio::join!(store.settled(&name, PATIENCE), kill);
    assert!(begun.elapsed() < PATIENCE / 2, "kept for {:?}", begun.elapsed());
}

#[tokio::test]
async fn what_is_no_envelope_is_a_miss_that_is_counted_and_can_be_filled() {
    let server = Server::start().await;
    let store = server.store(BUDGET);
    let mut admin = server.admin();
    // The last one looks like an envelope that is newer than all others, but it is cut short.
    let mut cut = Envelope { loaded_at_ms: 1 << 60, ..envelope(&store) }.encode();
    cut.truncate(30);
    redis::cmd("SET").arg(name("text").as_str()).arg("{\"plain\":1}").exec(&mut admin).unwrap();
    redis::cmd("RPUSH").arg(name("list").as_str()).arg("x").exec(&mut admin).unwrap();
    redis::cmd("SET").arg(name("cut").as_str()).arg(&cut).exec(&mut admin).unwrap();
    for (n, text) in ["text", "list", "cut"].into_iter().enumerate() {
        let (name, token) = (name(text), LeaseToken::new(n as u128));
        let before = store.unreadable();
        assert_eq!(store.get(&name).await.unwrap().answer, None, "{name}");
        assert_eq!(store.unreadable(), before + 1, "{name}");
        let claim = Claim { name: &name, token, lease: BUDGET, seen_ms: 0, mode: Mode::IfFree };
        let claimed = store.claim(claim).await.unwrap().answer;
        assert!(matches!(claimed, Claimed::Granted { .. }), "{name}: {claimed:?}");
        let envelope = envelope(&store);
        assert_eq!(
            store.fill(&name, token, &envelope).await.unwrap().answer,
            Filled::Stored,
            "{name}"
        );
        assert_eq!(store.get(&name).await.unwrap().answer, Some(envelope), "{name}");
    }
}

#[tokio::test]
async fn a_lease_without_a_lifetime_holds_nobody_up() {
    let server = Server::start().await;
    let store = server.store(BUDGET);
    let name = name("k");
    let lease = format!("corral:1:lease:{{{name}}}");
    redis::cmd("SET").arg(lease).arg("left behind").exec(&mut server.admin()).unwrap();
    let claim = Claim {
        name: &name,
        token: LeaseToken::new(1),
        lease: BUDGET,
        seen_ms: 0,
        mode: Mode::IfFree,
    };
    assert!(matches!(store.claim(claim).await.unwrap().answer, Claimed::Granted { .. }));
    assert_eq!(server.keys_without_lifetime().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_server_out_of_memory_refuses_writes_and_still_removes() {
    let server = Server::start().await;
    let store = server.store(BUDGET);
    let (tag, member) = (StoreTag::try_new("t").unwrap(), name("k"));
    let doomed = [Doomed::Tag(tag.clone())];
    let marking = Marking { lasts: BUDGET, epoch: Epoch(1) };
    let claim = |name, token| Claim {
        name,
        token: LeaseToken::new(token),
        lease: BUDGET,
        seen_ms: 0,
        mode: Mode::IfFree,
    };
    store.claim(claim(&member, 1)).await.unwrap();
    let tags = std::slice::from_ref(&tag);
    store.index(&member, tags, store.now_ms() + 60_000).await.unwrap();
    store.fill(&member, LeaseToken::new(1), &envelope(&store)).await.unwrap();

    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1"]).exec(&mut server.admin()).unwrap();
    let refused = store.claim(claim(&name("other"), 2)).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Refused(why) if why.contains("OOM")), "{refused:?}");
    let refused = invalidate(&store, &doomed, marking).await.unwrap_err();
    assert!(matches!(refused, StoreError::Refused(_)), "no mark was set, so it must be repeated");
    assert_eq!(store.get(&member).await.unwrap().answer, None, "but the value must be gone");

    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "0"]).exec(&mut server.admin()).unwrap();
    invalidate(&store, &doomed, marking).await.unwrap();
    let indexed = store.index(&member, tags, store.now_ms() + 60_000).await.unwrap().answer;
    assert_eq!(indexed.marks.len(), 1);
}

#[tokio::test]
async fn the_clock_is_the_servers() {
    let server = Server::start().await;
    let store = server.store(BUDGET);
    works_again(&store).await;
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query(&mut server.admin()).unwrap();
    assert!(store.now_ms().abs_diff(seconds * 1000 + micros / 1000) < 500);
}

#[tokio::test]
async fn urls_that_can_never_work_are_refused_with_the_reason() {
    for (url, reason) in [
        ("redis+sentinel://u:secret@h:1,h:2", "it names no primary"),
        ("redis+cluster://h:1", "redis+cluster:// has many nodes"),
        ("memcached://u:secret@h", "memcached:// is no Redis"),
        ("localhost:6379", "not a URL"),
        ("redis://u:secret@[oops", "did not parse"),
    ] {
        let Err(StoreError::Unavailable(why)) = RedisStore::connect(url, Prefix::default(), BUDGET)
        else {
            panic!("{url} was accepted")
        };
        assert!(why.contains(reason) && !why.contains("secret"), "{url}: {why}");
    }
}

/// The server speaks no TLS, but the client has everything to try it: without a crypto provider its
/// task would panic.
#[tokio::test]
async fn tls_is_tried_where_the_url_asks_for_it() {
    let server = Server::start().await;
    let url = format!("rediss://127.0.0.1:{}", server.0.port());
    let store = RedisStore::connect(&url, Prefix::default(), BUDGET).unwrap();
    for _ in 0..3 {
        let Err(StoreError::Unavailable(why)) = ping(&store).await else {
            panic!("a server without TLS was accepted")
        };
        assert!(!why.contains("task has ended"), "{why}");
    }
}

async fn fails_within_the_budget(store: &RedisStore) {
    let begun = Instant::now();
    let error = store.get(&name("k")).await.unwrap_err();
    let took = begun.elapsed();
    assert!(!matches!(error, StoreError::Refused(_)), "{error:?}");
    // The scheduler of a busy machine may add to the store's time.
    assert!(took < SHORT_BUDGET + Duration::from_millis(150), "{error} after {took:?}");
}

/// Waits until the store answers; returns how long that took.
async fn works_again(store: &RedisStore) -> Duration {
    let begun = Instant::now();
    while let Err(error) = ping(store).await {
        assert!(begun.elapsed() < PATIENCE, "still {error}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begun.elapsed()
}

/// One exchange that changes nothing.
async fn ping(store: &RedisStore) -> Result<(), StoreError> {
    store.lease_left(&name("nobody's")).await.map(drop)
}

fn name(key: &str) -> Name {
    let key = StoreKey::try_new(key).unwrap();
    Name::new(&Prefix::default(), &Digest::of(["e"]), &key)
}

fn envelope(store: &dyn Store) -> Envelope {
    let until_ms = store.now_ms() + 60_000;
    Envelope {
        loaded_at_ms: 1,
        refresh_at_ms: until_ms,
        fresh_until_ms: until_ms,
        stale_until_ms: until_ms,
        cost_ms: 1,
        etag: 13,
        generation: 1,
        fingerprint: Fingerprint(1),
        stamp: Stamp { epoch: Epoch(1), word: 1 },
        tag_slots: vec![],
        body: Some(Bytes::from_static(b"{}")),
    }
}
