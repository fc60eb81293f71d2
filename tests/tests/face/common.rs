//! The servers that all tests share, configurations over them, and requests in one line.

use std::ops::Deref;
use std::time::Duration;

use bytes::Bytes;
use corral_tests::client::{Answer, Client, media};
use corral_tests::servers::{Host, SharedServers};
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

/// The shared servers, with a small shop. They end with this process.
pub(super) struct Servers(SharedServers);

impl Deref for Servers {
    type Target = SharedServers;

    fn deref(&self) -> &SharedServers {
        &self.0
    }
}

impl Servers {
    /// The servers, started for the first test that asks.
    pub(super) async fn shared() -> &'static Self {
        static SERVERS: OnceCell<Servers> = OnceCell::const_new();
        SERVERS.get_or_init(Self::start).await
    }

    async fn start() -> Self {
        let servers = SharedServers::start().await.unwrap();
        Shop::small().load(&servers.postgres.url()).await.unwrap();
        servers.postgres.psql(SCHEMA).await.unwrap();
        Self(servers)
    }

    /// The origin's URL, with a password that Postgres does not ask for.
    pub(super) fn origin_url(&self) -> String {
        self.postgres.url().replace("postgres@", &format!("postgres:{PASSWORD}@"))
    }

    /// Every entity over these servers, with a store that no other test has; `top` comes before all
    /// tables, `more` after them.
    pub(super) fn config(&self, top: &str, more: &str) -> String {
        self.config_over(&self.new_store().unwrap(), top, more)
    }

    /// The same with this store, which several hosts may share.
    pub(super) fn config_over(&self, store: &str, top: &str, more: &str) -> String {
        let shop = shop::config(Some(store), &self.origin_url());
        let shop = shop.replace("[store]\n", PATIENT_STORE).replace(SHOPS_TOUCHES, OUR_TOUCHES);
        format!("{top}\n{shop}{MORE_ENTITIES}{more}")
    }

    /// A host with a store that no other test has.
    pub(super) async fn host(&self, more: &str) -> Host {
        Host::start(&self.config("", more)).await.unwrap()
    }

    /// A host with this store.
    pub(super) async fn host_over(&self, store: &str, more: &str) -> Host {
        Host::start(&self.config_over(store, "", more)).await.unwrap()
    }
}

/// The URL of a store that no other test has.
pub(super) async fn new_store() -> String {
    Servers::shared().await.new_store().unwrap()
}

/// Two hosts over a store that no other test has.
pub(super) async fn pair(more: &str) -> [Host; 2] {
    let (servers, store) = (Servers::shared().await, new_store().await);
    [servers.host_over(&store, more).await, servers.host_over(&store, more).await]
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
