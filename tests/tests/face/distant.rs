//! A store that is far away: what thousands of names and tags cost, compared with one. The tests
//! count how often Redis reads from its connections, which does not depend on time: commands that
//! are sent at once are read in few pieces, and a command that waits for the answer to another one
//! is a piece of its own.

use std::time::Duration;

use corral_tests::forwarder::{Forwarder, Traits};
use corral_tests::servers::{Host, Postgres, Redis, eventually};
use hyper::StatusCode;
use serde_json::{Value, json};

use super::bulk::{ENTITIES, SCHEMA};
use super::common::{SOON, get, post};

/// One way; a round trip is twice as long.
const DELAY: Duration = Duration::from_micros(2_500);

/// Names in one request.
const MANY: u64 = 5_000;

/// Rows of one list, or of one write.
const ROWS: u64 = 1_000;

/// The list of so many rows.
const LIST: &str = "/read/items?most=1000";

/// A host, and the long way to its store.
struct Scene {
    host: Host,
    redis: Redis,
    _way: Forwarder,
    _postgres: Postgres,
}

impl Scene {
    async fn start() -> Self {
        let (redis, postgres) = (Redis::start().await.unwrap(), Postgres::start().await.unwrap());
        postgres.psql(SCHEMA).await.unwrap();
        let traits = Traits { delay: DELAY, ..Traits::default() };
        let way = Forwarder::start_with(&[redis.port()], traits).await.unwrap();
        let (store, origin) = (way.redis_url(), postgres.url());
        // A slow answer of a debug build on a busy machine is no outage.
        let servers =
            format!("[store]\nurl = {store:?}\ntimeout = \"5s\"\n[origin]\nurl = {origin:?}\n");
        let host = Host::start(&format!("{servers}{ENTITIES}")).await.unwrap();
        let scene = Self { host, redis, _way: way, _postgres: postgres };
        // From here on Redis knows the scripts; before that, each call of a script sends its whole
        // text.
        scene.until_stored("/read/item?id=5000").await;
        scene.invalidate(&json!({ "tags": ["item:5000"] })).await;
        scene
    }

    async fn until_stored(&self, read: &str) {
        let is_hit = async || Ok(get(&self.host, read).await.is_hit().then_some(()));
        eventually(read, SOON, is_hit).await.unwrap();
    }

    /// How often Redis has read from a connection so far.
    async fn reads(&self) -> u64 {
        self.redis.info("stats", "total_reads_processed").await.unwrap().parse().unwrap()
    }

    /// The outcome of `doing`, and how often Redis read meanwhile, which includes the host's
    /// regular requests.
    async fn counted<T>(&self, doing: impl Future<Output = T>) -> (T, u64) {
        let before = self.reads().await;
        let done = doing.await;
        (done, self.reads().await - before)
    }

    /// Makes a request that invalidates; `None` if the invalidation is still owed, since a busy
    /// machine held the host up.
    async fn try_to_invalidate(&self, path: &str, body: &Value) -> Option<()> {
        let answer = post(&self.host, path, &body.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        (answer.json().unwrap()["cache"] == "invalidated").then_some(())
    }

    /// The same until the invalidation is done; returns how often Redis read meanwhile.
    async fn invalidating(&self, path: &str, body: &Value) -> u64 {
        eventually("it is invalidated", SOON, || async {
            let ready: Value = get(&self.host, "/readyz").await.json()?;
            if ready["store"] != "closed" || ready["pending_invalidations"] != 0 {
                return Ok(None);
            }
            let (done, reads) = self.counted(self.try_to_invalidate(path, body)).await;
            Ok(done.map(|()| reads))
        })
        .await
        .unwrap()
    }

    async fn invalidate(&self, named: &Value) -> u64 {
        self.invalidating("/invalidate", named).await
    }
}

/// A round trip for each name would be as many reads as names, or more.
fn are_few(reads: u64, names: u64) {
    assert!(reads < names / 4, "{reads} reads for {names} names");
}

/// The control: the count really counts round trips.
#[tokio::test]
async fn keys_that_are_invalidated_one_after_the_other_are_a_round_trip_each() {
    const FEW: u64 = 200;
    let scene = Scene::start().await;
    let one_by_one = async {
        for id in 1..=FEW {
            let named = json!({ "keys": [format!("v1:item:{id}")] });
            let done = async || Ok(scene.try_to_invalidate("/invalidate", &named).await);
            eventually("it is invalidated", SOON, done).await.unwrap();
        }
    };
    let ((), reads) = scene.counted(one_by_one).await;
    assert!(reads >= FEW, "{reads} reads for {FEW} names");
}

#[tokio::test]
async fn thousands_of_keys_are_invalidated_in_few_round_trips() {
    let scene = Scene::start().await;
    scene.until_stored("/read/item?id=1").await;
    let keys: Vec<String> = (1..=MANY).map(|id| format!("v1:item:{id}")).collect();
    are_few(scene.invalidate(&json!({ "keys": keys })).await, MANY);
    assert!(!get(&scene.host, "/read/item?id=1").await.is_hit());
}

#[tokio::test]
async fn thousands_of_tags_are_invalidated_in_few_round_trips() {
    let scene = Scene::start().await;
    scene.until_stored(LIST).await;
    let tags: Vec<String> = (1..=MANY).map(|id| format!("item:{id}")).collect();
    are_few(scene.invalidate(&json!({ "tags": tags })).await, MANY);
    assert!(!get(&scene.host, LIST).await.is_hit());
}

#[tokio::test]
async fn a_write_of_a_thousand_rows_touches_their_tags_in_few_round_trips() {
    let scene = Scene::start().await;
    scene.until_stored(LIST).await;
    are_few(scene.invalidating("/write/item/bump", &json!({ "most": ROWS })).await, ROWS);
    let list: Value = get(&scene.host, LIST).await.json().unwrap();
    assert!(list.as_array().unwrap().iter().all(|row| row["n"] != 0), "{list}");
}

#[tokio::test]
async fn a_list_of_a_thousand_rows_is_stored_under_their_tags_in_few_round_trips() {
    let scene = Scene::start().await;
    // The key stays cold until the host stores it, and a busy machine may hold the host up.
    let reads = eventually("it is stored", SOON, || async {
        let (answer, reads) = scene.counted(get(&scene.host, LIST)).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.json()?.as_array().unwrap().len() as u64, ROWS);
        assert!(!answer.is_hit(), "it is cold");
        Ok(answer.is_stored().then_some(reads))
    })
    .await
    .unwrap();
    are_few(reads, ROWS);
    scene.until_stored(LIST).await;
}
