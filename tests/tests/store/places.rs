//! Where a store's URL leads: to a socket, or to the primary that sentinels name.

use corral_host::store::{Confirmation, Replicas};
use corral_tests::servers::{Redis, Sentinels, until};

use super::*;

#[tokio::test]
async fn redis_passes_the_suite_over_a_unix_socket() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("redis.sock").display().to_string();
    let server = Server(Redis::start_with(&["--unixsocket", &socket]).await.unwrap());
    conformance::run_all(&connect(&format!("unix://{socket}")), "t").await.unwrap();
    assert!(server.keys() > 10, "nothing was stored");
    let other = connect(&format!("redis+unix://{socket}?db=3"));
    conformance::run_all(&other, "t").await.unwrap();
}

#[tokio::test]
async fn redis_passes_the_suite_behind_sentinels_also_after_a_failover() {
    let sentinels = Sentinels::start().await.unwrap();
    let store = connect(&sentinels.url());
    conformance::run_all(&store, "t").await.unwrap();
    let before = store.beat(&[]).await.unwrap().answer;
    assert_eq!(before.replicas, Replicas::Supervised);
    assert_eq!(store.confirm().await.unwrap(), Confirmation::Reached(before.epoch));

    sentinels.fail_over().await.unwrap();
    sentinels.until_another(0).await.unwrap();
    until("the store follows the name", async || {
        let now = store.beat(&[]).await.ok().and_then(|beat| beat.answer.epoch);
        now != before.epoch
            && store.confirm().await.is_ok_and(|confirmed| confirmed == Confirmation::Reached(now))
    })
    .await;
    conformance::run_all(&store, "after").await.unwrap();
}

#[tokio::test]
async fn the_sentinels_that_the_url_leaves_out_are_asked_too_and_count_among_all() {
    let mut sentinels = Sentinels::start().await.unwrap();
    let url = Sentinels::url_over(&sentinels.ports()[..1]);
    let store = connect(&url);
    until("a majority names a primary", async || store.confirm().await.is_ok()).await;

    sentinels.kill_sentinel(1);
    store.confirm().await.unwrap();
    sentinels.kill_sentinel(2);
    let why = store.confirm().await.unwrap_err().to_string();
    assert!(why.contains("1 of 3 sentinels name one address"), "{why}");
    // A store that is new learns the same from the sentinel that answers.
    let why = connect(&url).confirm().await.unwrap_err().to_string();
    assert!(why.contains("1 of 3 sentinels name one address"), "{why}");

    sentinels.restart_sentinel(2).await.unwrap();
    until("there is a majority again", async || store.confirm().await.is_ok()).await;
}

#[tokio::test]
async fn sentinels_and_servers_are_asked_with_credentials_of_their_own() {
    let sentinels = Sentinels::start().await.unwrap();
    let asks =
        ["+ping", "+sentinel|myid", "+sentinel|get-master-addr-by-name", "+sentinel|sentinels"];
    let user = ["ACL", "SETUSER", "asks", "on", ">p&ss"];
    sentinels.tell_sentinels(&[&user[..], &asks].concat()).await.unwrap();
    for server in 0..3 {
        let user = ["ACL", "SETUSER", "app", "on", ">s@cret", "~*", "&*", "+@all"];
        sentinels.server(server).say(&user).await.unwrap();
        sentinels
            .server(server)
            .say(&["ACL", "SETUSER", "default", "-get", "-getex"])
            .await
            .unwrap();
    }
    let url = |password: &str| {
        let rest = sentinels.url().replace("redis+sentinel://", "app:s%40cret@");
        format!("redis+sentinel://{rest}?sentinel_user=asks&sentinel_password={password}")
    };
    conformance::run_all(&connect(&url("p%26ss")), "t").await.unwrap();
    let why = connect(&url("wrong")).confirm().await.unwrap_err().to_string();
    assert!(why.contains("no sentinel answers") && why.contains("WRONGPASS"), "{why}");
    assert!(!why.contains("wrong)") && !why.contains("s@cret"), "{why}");
}

#[tokio::test]
async fn a_name_that_no_sentinel_knows_is_said() {
    let sentinels = Sentinels::start().await.unwrap();
    let store = connect(&sentinels.url().replace("/main", "/other"));
    let why = store.confirm().await.unwrap_err().to_string();
    assert!(why.contains("no sentinel knows a primary \"other\""), "{why}");
}

fn connect(url: &str) -> RedisStore {
    RedisStore::connect(url, Prefix::default(), BUDGET).unwrap()
}
