//! `corral check` inspects the store: what is wrong with it, and what to do.

use corral_tests::servers::{Redis, Sentinels};

use super::access::File;

/// On a busy machine 50 ms are no sign of an outage.
const PATIENT: &str = "timeout = \"5s\"\n";

/// The name of a value in Redis.
const VALUE: &str = "corral:1:abcdefgh:v1:user:1";

/// Whether a host over this store is ready to serve, and what `check` prints.
async fn said(url: &str) -> (bool, String) {
    checked(&format!("[store]\nurl = \"{url}\"\n{PATIENT}")).await
}

async fn checked(config: &str) -> (bool, String) {
    let output = File::new(config).run("check").await;
    let both = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&both).into_owned())
}

async fn tell(redis: &Redis, words: &[&str]) {
    let mut connection = redis.connect().await.unwrap();
    let mut command = redis::cmd(words[0]);
    words[1..].iter().for_each(|word| {
        command.arg(*word);
    });
    let _: redis::Value = command.query_async(&mut connection).await.unwrap();
}

async fn complains(redis: &Redis, of: &[&str]) {
    let (ready, said) = said(&redis.url()).await;
    assert!(!ready, "{said}");
    for complaint in of {
        assert!(said.contains(complaint), "{complaint} is missing in {said}");
    }
    assert!(said.contains("2:7 store.url: "), "{said}");
}

#[tokio::test]
async fn a_store_as_we_leave_it_gives_no_reason_to_complain() {
    let redis = Redis::start_with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lfu"]);
    let redis = redis.await.unwrap();
    tell(&redis, &["SET", VALUE, "x", "EX", "100"]).await;
    tell(&redis, &["SET", "session:1", "somebody else's, for ever"]).await;
    let (ready, said) = said(&redis.url()).await;
    assert!(ready && said.contains("1 keys of ours looked at"), "{said}");
}

#[tokio::test]
async fn a_near_cache_without_a_store_that_tells_of_changes_is_found() {
    let redis = Redis::start().await.unwrap();
    let mute = redis.url_without(&["client|tracking"]).await.unwrap();
    let config = |url: &str, near: &str| {
        format!("[store]\nurl = \"{url}\"\n{PATIENT}[entity.a]\nttl = \"1m\"\nnear = \"{near}\"\n")
    };
    for (url, near, is_ready) in
        [(&redis.url(), "1s", true), (&mute, "0s", true), (&mute, "1s", false)]
    {
        let (ready, said) = checked(&config(url, near)).await;
        assert_eq!((ready, said.contains("gets no near cache")), (is_ready, !is_ready), "{said}");
    }
}

#[tokio::test]
async fn keys_that_live_for_ever_are_found_and_named() {
    let redis = Redis::start().await.unwrap();
    for key in [VALUE, "corral:1:lease:{x}", "corral:1:mark:{user:1}", "other:1"] {
        tell(&redis, &["SET", key, "x"]).await;
    }
    tell(&redis, &["SET", "corral:1:abcdefgh:v1:user:2", "x", "EX", "100"]).await;
    complains(&redis, &["3 keys under its prefix have no lifetime", VALUE, "EXPIRE"]).await;
    assert!(!said(&redis.url()).await.1.contains("other:1"));
}

#[tokio::test]
async fn indexes_that_are_none_or_too_large_are_found() {
    let redis = Redis::start().await.unwrap();
    tell(&redis, &["SET", "corral:1:tags:{a}", "x", "EX", "100"]).await;
    let fill = "for i = 1, 100001 do redis.call('ZADD', KEYS[1], i, i) end
                return redis.call('EXPIRE', KEYS[1], 100)";
    tell(&redis, &["EVAL", fill, "1", "corral:1:tags:{b}"]).await;
    let complaints =
        ["corral:1:tags:{a} is no index", "corral:1:tags:{b} (100001)", "tag more finely"];
    complains(&redis, &complaints).await;
}

#[tokio::test]
async fn a_policy_that_refuses_writes_or_evicts_the_wrong_keys_is_found() {
    for (policy, why) in [
        ("noeviction", "refuses writes"),
        ("volatile-ttl", "leases first"),
        ("allkeys-random", "the indexes of tags"),
    ] {
        let args = ["--maxmemory", "100mb", "--maxmemory-policy", policy];
        let redis = Redis::start_with(&args).await.unwrap();
        complains(&redis, &[policy, why, "set allkeys-lfu"]).await;
    }
}

#[tokio::test]
async fn a_server_that_can_not_do_it_is_found() {
    let redis = Redis::start().await.unwrap();
    tell(&redis, &["REPLICAOF", "127.0.0.1", "1"]).await;
    complains(&redis, &["it is a replica (of 127.0.0.1)", "name the primary"]).await;

    let redis = Redis::start_cluster_node().await.unwrap();
    complains(&redis, &["cluster mode"]).await;
}

#[tokio::test]
async fn sentinels_are_counted_and_what_they_can_not_do_is_found() {
    let mut sentinels = Sentinels::start().await.unwrap();
    let url = sentinels.url();
    let (ready, told) = said(&url).await;
    let port = sentinels.server(0).port();
    let all = format!("3 of 3 sentinels answer, and 3 of them name 127.0.0.1:{port} as \"main\"");
    assert!(ready && told.contains(&all) && told.contains("watched for two seconds"), "{told}");
    assert!(!told.contains("four seconds") && !told.contains("fewer than 3"), "{told}");

    sentinels.tell_sentinels(&["SENTINEL", "SET", "main", "quorum", "4"]).await.unwrap();
    let (ready, told) = said(&url).await;
    assert!(!ready && told.contains("could not fail over now (NOQUORUM"), "{told}");

    sentinels.tell_sentinels(&["SENTINEL", "SET", "main", "quorum", "2"]).await.unwrap();
    sentinels.kill_sentinel(1);
    let (ready, told) = said(&url).await;
    let silent = format!("the sentinel at 127.0.0.1:{} is silent", sentinels.ports()[1]);
    assert!(ready && told.contains("2 of 3 sentinels answer") && told.contains(&silent), "{told}");

    sentinels.kill_sentinel(2);
    let (ready, told) = said(&url).await;
    assert!(!ready && told.contains("1 of 3 sentinels name one address"), "{told}");
}
