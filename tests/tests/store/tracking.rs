//! Tests of tracking that need a real server.

use corral_host::store::Tracked;
use corral_tests::conformance::Heard;
use corral_tests::servers::until;

use super::*;

#[tokio::test]
async fn only_what_was_asked_for_is_told() {
    let server = Server::start().await;
    let (here, there) = (server.store(BUDGET), server.store(BUDGET));
    let (asked, unasked) = (name("asked"), name("unasked"));
    put(&there, &asked).await;
    put(&there, &unasked).await;
    let heard = Heard::of(&here);
    assert!(here.get_tracked(&asked).await.unwrap().answer.heard);
    here.get(&unasked).await.unwrap();
    // Its claims and fills read leases, whose changes must not be reported.
    claim_and_release(&here, &unasked).await;
    claim_and_release(&there, &unasked).await;
    remove(&there, &unasked).await;
    remove(&there, &asked).await;
    until("word", async || heard.times(&asked) == 1).await;
    assert_eq!((heard.times(&unasked), heard.all()), (0, 0));
    assert_eq!(heard.names(), [asked.as_str()], "nothing of leases and waiters");
}

#[tokio::test]
async fn everything_that_ends_a_value_is_told() {
    let server = Server::start().await;
    let (here, there) = (server.store(BUDGET), server.store(BUDGET));
    let mut admin = server.admin();
    let heard = Heard::of(&here);
    for end in ["DEL", "UNLINK", "PERSIST"] {
        let name = name(end);
        put(&there, &name).await;
        here.get_tracked(&name).await.unwrap();
        redis::cmd(end).arg(name.as_str()).exec(&mut admin).unwrap();
        until(end, async || heard.times(&name) == 1).await;
    }
    let expired = name("expired");
    put(&there, &expired).await;
    here.get_tracked(&expired).await.unwrap();
    redis::cmd("PEXPIRE").arg(expired.as_str()).arg(1).exec(&mut admin).unwrap();
    until("the expiry", async || heard.times(&expired) >= 1).await;
    assert_eq!(heard.all(), 0);
    redis::cmd("FLUSHALL").exec(&mut admin).unwrap();
    until("the flush", async || heard.all() == 1).await;
}

#[tokio::test]
async fn a_connection_that_was_killed_tells_that_everything_may_have_changed() {
    let server = Server::start().await;
    let (here, there) = (server.store(BUDGET), server.store(BUDGET));
    let (heard, name) = (Heard::of(&here), name("k"));
    put(&there, &name).await;
    for _ in 0..5 {
        assert!(here.get_tracked(&name).await.unwrap().answer.heard);
        let before = heard.all();
        redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal"]).exec(&mut server.admin()).unwrap();
        redis::cmd("CLIENT").arg(&["KILL", "TYPE", "pubsub"]).exec(&mut server.admin()).unwrap();
        until("word of the break", async || heard.all() > before).await;
        works_again(&here).await;
        works_again(&there).await;
    }
    let before = heard.times(&name);
    assert!(here.get_tracked(&name).await.unwrap().answer.heard);
    remove(&there, &name).await;
    until("word over the new connection", async || heard.times(&name) > before).await;
}

#[tokio::test]
async fn a_killed_and_restarted_server_tells_that_everything_may_have_changed() {
    let mut server = Server::start().await;
    let here = server.store(BUDGET);
    let (heard, name) = (Heard::of(&here), name("k"));
    put(&here, &name).await;
    here.get_tracked(&name).await.unwrap();
    let before = heard.all();
    server.0.kill();
    until("word of the break", async || heard.all() > before).await;
    server.0.restart().await.unwrap();
    works_again(&here).await;
    assert!(here.get_tracked(&name).await.unwrap().answer.heard);
}

#[tokio::test]
async fn a_user_who_may_not_track_is_told_nothing_and_knows_it() {
    let server = Server::start().await;
    let url = server.0.url_without(&["client|tracking"]).await.unwrap();
    let store = RedisStore::connect(&url, Prefix::default(), BUDGET).unwrap();
    let name = name("k");
    put(&store, &name).await;
    let Tracked { envelope, heard } = store.get_tracked(&name).await.unwrap().answer;
    assert!(envelope.is_some() && !heard);
}

#[tokio::test]
async fn what_is_no_envelope_is_a_tracked_miss() {
    let server = Server::start().await;
    let store = server.store(BUDGET);
    redis::cmd("RPUSH").arg(name("list").as_str()).arg("x").exec(&mut server.admin()).unwrap();
    let Tracked { envelope, heard } = store.get_tracked(&name("list")).await.unwrap().answer;
    assert!(envelope.is_none() && heard);
    assert_eq!(store.unreadable(), 1);
}

async fn remove(store: &dyn Store, name: &Name) {
    store.remove(std::slice::from_ref(name)).await.unwrap();
}

async fn put(store: &dyn Store, name: &Name) {
    let token = LeaseToken::new(rand::random());
    let claim = Claim { name, token, lease: PATIENCE, seen_ms: 0, mode: Mode::TakeOver };
    store.claim(claim).await.unwrap();
    assert_eq!(store.fill(name, token, &envelope(store)).await.unwrap().answer, Filled::Stored);
}

async fn claim_and_release(store: &dyn Store, name: &Name) {
    let token = LeaseToken::new(rand::random());
    let claim = Claim { name, token, lease: PATIENCE, seen_ms: u64::MAX, mode: Mode::TakeOver };
    store.claim(claim).await.unwrap();
    store.renew(name, token, PATIENCE).await.unwrap();
    assert!(store.release(name, token).await.unwrap());
}
