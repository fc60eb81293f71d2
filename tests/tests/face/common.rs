//! The servers that all tests share, configurations over them, and requests in one line.

use std::time::Duration;

use bytes::Bytes;
use corral_tests::client::{Answer, Client, media};
use corral_tests::servers::{Host, Postgres, Redis};
use corral_tests::shop::{self, Shop};
use hyper::Method;
use tokio::sync::OnceCell;

/// Long enough for a busy machine; only reached when a test fails.
pub(super) const SOON: Duration = Duration::from_secs(30);

/// In the origin's URL, although the server does not ask for it. It must be in no answer.
pub(super) const PASSWORD: &str = "hunter2";

/// On a busy machine 50 ms are no sign of an outage, and these tests are not about outages.
pub(super) const PATIENT_STORE: &str = "[store]\ntimeout = \"5s\"\n";

/// The shop's rename touches everything in the shop that shows names. Here cards show names too,
/// and the rename leaves them stale.
const SHOPS_TOUCHES: &str = "touches = [\"user.profile(id)\", \"tag user:{id}\"]\n";
const OUR_TOUCHES: &str =
    "touches = [\"user.profile(id)\", \"tag user:{id}\"]\nallow = [\"stale-reads\"]\n";

/// Beside the shop: sequences, and a function that writes.
const SCHEMA: &str = "
CREATE SEQUENCE tickets;
CREATE SEQUENCE joiners START 7000;
CREATE FUNCTION scribble() RETURNS bigint LANGUAGE plpgsql AS
$$ BEGIN UPDATE users SET name = 'scribbled'; RETURN 1; END $$;
";

/// Beside the shop's entities: every way to fail, and write-through.
pub(super) const MORE_ENTITIES: &str = r#"
[entity."user.card"]
params = ["id:int8"]
read = "SELECT id, name FROM users WHERE id = $1"
ttl = "5m"

[entity."user.card".write.rename]
params = ["id:int8", "name:text"]
sql = "UPDATE users SET name = $2 WHERE id = $1"
then = "write-through"
touches = ["user.card(id)"]
allow = ["stale-reads"]

[entity."user.card".write.add]
params = ["id:int8"]
sql = "INSERT INTO users VALUES ($1, 'New', 'new@example.com', 'customer', 1)"
touches = ["user.card(id)"]
allow = ["stale-reads"]

[entity."user.card".write.divide]
params = ["id:int8", "by:int8"]
sql = "UPDATE users SET team_id = team_id / $2 WHERE id = $1"
touches = ["user.card(id)"]
allow = ["stale-reads"]

[entity."report.ratio"]
params = ["by:int8"]
read = "SELECT 1 / $1::bigint AS ratio"
ttl = "1m"

[entity."report.late"]
params = ["id:int8"]
read = "SELECT $1::bigint AS id FROM pg_sleep(30)"
ttl = "1m"
deadline = "300ms"

[entity."report.large"]
read = "SELECT repeat('x', 17000000) AS text"
ttl = "1m"
deadline = "10s"
"#;

/// One Redis and one Postgres with a small shop. They end with this process.
pub(super) struct Servers {
    pub(super) redis: Redis,
    pub(super) postgres: Postgres,
}

impl Servers {
    /// The servers, started for the first test that asks.
    pub(super) async fn shared() -> &'static Self {
        static SERVERS: OnceCell<Servers> = OnceCell::const_new();
        SERVERS.get_or_init(Self::start).await
    }

    async fn start() -> Self {
        let (redis, postgres) = (
            Redis::start_with(&["--databases", "64"]).await.unwrap(),
            Postgres::start().await.unwrap(),
        );
        Shop::small().load(&postgres.url()).await.unwrap();
        postgres.psql(SCHEMA).await.unwrap();
        Self { redis, postgres }
    }

    /// The origin's URL, with a password that Postgres does not ask for.
    pub(super) fn origin_url(&self) -> String {
        self.postgres.url().replace("postgres@", &format!("postgres:{PASSWORD}@"))
    }

    /// A store of its own for each test: one of Redis's numbered databases.
    pub(super) fn store_url(&self, database: u8) -> String {
        format!("{}/{database}", self.redis.url())
    }

    /// Every entity over these servers; `top` comes before all tables, `more` after them.
    pub(super) fn config(&self, database: u8, top: &str, more: &str) -> String {
        let shop = shop::config(Some(&self.store_url(database)), &self.origin_url());
        let shop = shop.replace("[store]\n", PATIENT_STORE).replace(SHOPS_TOUCHES, OUR_TOUCHES);
        format!("{top}\n{shop}{MORE_ENTITIES}{more}")
    }

    /// A host with that configuration.
    pub(super) async fn host(&self, database: u8, more: &str) -> Host {
        Host::start(&self.config(database, "", more)).await.unwrap()
    }
}

/// Asks a host, with the media type that its path takes: `ask(&host, "POST /write/user.card/add",
/// &[], r#"{"id": 1}"#)`.
pub(super) async fn ask(
    host: &Host,
    request: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    let (method, path) = request.split_once(' ').unwrap();
    let method: Method = method.parse().unwrap();
    let (mut headers, body) = (headers.to_vec(), body.into());
    if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
        headers.push(("content-type", media(path)));
    }
    Client::new().request(method, &host.url(path), &headers, body).await.unwrap()
}

/// `GET` without further headers.
pub(super) async fn get(host: &Host, path: &str) -> Answer {
    ask(host, &format!("GET {path}"), &[], "").await
}

/// `POST` of a JSON text.
pub(super) async fn post(host: &Host, path: &str, body: &str) -> Answer {
    ask(host, &format!("POST {path}"), &[], body.to_owned()).await
}

/// The value of a parameter of `Cache-Status`; for a parameter without a value, its name. `None` if
/// it is absent.
pub(super) fn status_parameter<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let mut parameters = answer.header("cache-status").split("; ").skip(1);
    parameters.find_map(|parameter| match parameter.split_once('=') {
        Some((key, value)) => (key == name).then_some(value),
        None => (parameter == name).then_some(parameter),
    })
}

/// Loads of an entity so far, over these hosts.
pub(super) async fn loads(hosts: &[&Host], entity: &str, reason: Option<&str>) -> f64 {
    let mut labels = vec![("entity", entity)];
    labels.extend(reason.map(|reason| ("reason", reason)));
    let mut sum = 0.0;
    for host in hosts {
        sum += host.metrics().await.unwrap().sum_where("corral_origin_loads_total", &labels);
    }
    sum
}
