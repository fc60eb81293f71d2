//! A policy that fails under load is rolled back automatically; names change only if that is asked
//! for; and settings are exchanged like components.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use corral_host::policy::builtin;
use corral_tests::client::Answer;
use corral_tests::load::{Load, Outcome, everything_ends};
use corral_tests::policies;
use corral_tests::servers::{Host, Postgres, Redis, corral, eventually, replace};
use corral_tests::shop::{self, Shop, expected_product};
use hyper::StatusCode;
use serde_json::{Value, json};

const CONNECTIONS: usize = 16;

const PRODUCTS: usize = 100;

/// Far longer than any wait.
const SOON: Duration = Duration::from_secs(60);

/// So many requests show that a host serves.
const MANY: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_traps_every_thousandth_step_is_rolled_back_and_no_request_fails() {
    let trapping = policies::component("bad/late-age").unwrap();
    let scene = Scene::start("").await.unwrap();
    let load = scene.load();
    load.more(MANY, SOON).await.unwrap();

    scene.put_file(&trapping).unwrap();
    scene.rolled_back(1).await.unwrap();
    let status = scene.status().await.unwrap();
    let reason = &status["activations"][0]["reason"];
    assert_eq!(reason["by"], "rolled-back-automatically", "{status:#}");
    assert_eq!(reason["failed"], 2);
    assert!(reason["traps"].as_u64() >= Some(5), "{reason}");
    assert_eq!(status["current"]["generation"], 1);
    let failed = &status["previous"];
    assert!(failed["failures"][0].as_str().unwrap().contains("unreachable"), "{failed}");
    assert!(scene.host.log().contains("rolled back by itself"), "{}", scene.host.log());

    // The same file with another time: it is not put in force.
    scene.put_file(&trapping).unwrap();
    scene.refused("it was rolled back by itself").await.unwrap();
    assert_eq!(scene.status().await.unwrap()["current"]["generation"], 1);

    // An operator that insists gets it, on probation.
    let pushed = scene.host.put("/admin/policy", trapping.clone()).await.unwrap();
    assert_eq!(pushed.status, StatusCode::OK, "{pushed:?}");
    scene.rolled_back(2).await.unwrap();

    load.more(MANY, SOON).await.unwrap();
    let reads = load.stop().await.unwrap();
    let problems: Vec<_> = reads.iter().filter_map(|read| read.problem.as_ref()).collect();
    assert!(problems.is_empty(), "{} of {}: {:?}", problems.len(), reads.len(), problems.first());
    let named: BTreeSet<u64> = reads.iter().filter_map(|read| read.generation).collect();
    assert!(named.is_superset(&BTreeSet::from([1, 2, 3])), "generations that answered: {named:?}");
    everything_ends(&scene.redis).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_policy_outlives_the_same_load() {
    let scene = Scene::start("").await.unwrap();
    let load = scene.load();
    scene.put_file(&policies::variant(builtin(), 1)).unwrap();
    scene.generation(2).await.unwrap();
    load.more(20 * MANY, SOON).await.unwrap();
    load.stop().await.unwrap();
    let status = scene.status().await.unwrap();
    assert_eq!(status["current"]["generation"], 2, "{status:#}");
    assert_eq!(status["current"]["traps"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_rename_keys_have_to_be_asked_for_by_name() {
    let scene = Scene::start("").await.unwrap();
    let read = "/read/product.page?id=7";
    assert_eq!(key_of(&scene.host.get(read).await.unwrap()), "v1:product.page:7");

    let renamed = json!({"namespace": "v2"}).to_string();
    let refusal = scene.host.put("/admin/policy/settings", renamed.clone()).await.unwrap();
    assert_eq!(refusal.status, StatusCode::CONFLICT, "{refusal:?}");
    let problem = refusal.json().unwrap();
    assert_eq!(problem["type"], "urn:corral:problem:policy-renames");
    assert_eq!((&problem["hot"]["asked"], &problem["hot"]["renamed"]), (&json!(1), &json!(1)));
    assert!(problem["detail"].as_str().unwrap().contains("--allow-rename"), "{problem}");
    assert_eq!(key_of(&scene.host.get(read).await.unwrap()), "v1:product.page:7");

    let path = "/admin/policy/settings?rename=allow";
    let active = scene.host.put(path, renamed).await.unwrap();
    assert_eq!(active.status, StatusCode::OK, "{active:?}");
    assert_eq!(key_of(&scene.host.get(read).await.unwrap()), "v2:product.page:7");
    let settings = scene.host.get("/admin/policy/settings").await.unwrap().json().unwrap();
    assert_eq!(settings, json!({"namespace": "v2"}));

    // Race J: the write names the key under both policies.
    let body = json!({"id": 7, "price_cents": 4242});
    let wrote = scene.host.post("/write/product.page/reprice", &body).await.unwrap();
    assert_eq!(wrote.status, StatusCode::OK, "{wrote:?}");
    let left = scene.redis.values("v?:product.page:7").await.unwrap();
    assert!(!left.iter().any(|key| key.contains(":v1:")), "{left:?}");

    let refused = json!({"namespace": "v2", "jitter": 7}).to_string();
    let refused = scene.host.put("/admin/policy/settings", refused).await.unwrap();
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:?}");
    assert_eq!(refused.json().unwrap()["report"]["findings"][0]["at"], "policy.settings.jitter");
    let refusals = scene.status().await.unwrap()["refusals"].clone();
    assert_eq!(refusals[0]["stage"], "settings", "{refusals:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_in_the_configuration_are_followed_and_nothing_else_is() {
    let scene = Scene::start("\n[policy.settings]\njitter = 0.1\n").await.unwrap();
    scene.edit("jitter = 0.1", "jitter = 0.3").unwrap();
    scene.generation(2).await.unwrap();
    let status = scene.status().await.unwrap();
    assert_eq!(status["activations"][0]["reason"]["by"], "settings");
    assert!(status["activations"][0]["took_ms"].as_f64().unwrap() > 0.0);
    let settings = scene.host.get("/admin/policy/settings").await.unwrap().json().unwrap();
    assert_eq!(settings, json!({"jitter": 0.3}));

    scene.edit("jitter = 0.3", "namespace = \"v2\"").unwrap();
    scene.refused("--allow-rename").await.unwrap();
    scene.edit("component = ", "allow_rename = true\ncomponent = ").unwrap();
    scene.generation(3).await.unwrap();

    scene.edit("listen = ", "threads = 3\nlisten = ").unwrap();
    eventually("a warning", SOON, || async {
        let log = scene.host.log();
        Ok((log.contains("needs a restart") && log.contains("threads")).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(scene.status().await.unwrap()["current"]["generation"], 3);

    let mut command = corral().unwrap();
    let admin = scene.host.url("/admin").replace("/admin", "");
    command.args(["policy", "settings", "--url", &admin]);
    let shown = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown, json!({"namespace": "v2"}));
}

/// A host that follows a policy's file and its configuration.
struct Scene {
    host: Host,
    redis: Redis,
    _postgres: Postgres,
    directory: tempfile::TempDir,
}

struct Read {
    generation: Option<u64>,
    problem: Option<String>,
}

impl Scene {
    /// `more` is added to `[policy]`.
    async fn start(more: &str) -> anyhow::Result<Self> {
        let (redis, postgres) = (Redis::start().await?, Postgres::start().await?);
        Shop::small().load(&postgres.url()).await?;
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("policy.wasm");
        std::fs::write(&file, builtin())?;
        let config = format!(
            "{}[policy]\ncomponent = {}\n{more}",
            shop::config(Some(&redis.url()), &postgres.url()),
            json!(file),
        );
        let host = Host::start(&config).await?;
        Ok(Self { host, redis, _postgres: postgres, directory })
    }

    /// Puts another file in the place of the policy's.
    fn put_file(&self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(replace(&self.directory.path().join("policy.wasm"), bytes)?)
    }

    fn edit(&self, old: &str, new: &str) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(self.host.config_path())?;
        anyhow::ensure!(text.contains(old), "{old:?} is missing in\n{text}");
        Ok(replace(&self.host.config_path(), text.replacen(old, new, 1))?)
    }

    async fn status(&self) -> anyhow::Result<Value> {
        self.host.get("/admin/policy").await?.json()
    }

    async fn generation(&self, number: u64) -> anyhow::Result<()> {
        eventually(&format!("generation {number}"), SOON, || async {
            let current = self.status().await?["current"]["generation"].as_u64();
            Ok((current.context("a generation")? == number).then_some(()))
        })
        .await
        .with_context(|| self.host.log())
    }

    /// Waits until the host has rolled back so often.
    async fn rolled_back(&self, times: u32) -> anyhow::Result<()> {
        let label = [("result", "rolled-back-automatically")];
        eventually("the host goes back by itself", SOON, || async {
            let metrics = self.host.metrics().await?;
            let done = metrics.sum_where("corral_policy_swaps_total", &label);
            Ok((done >= f64::from(times)).then_some(()))
        })
        .await
        .with_context(|| self.host.log())
    }

    /// Waits until the last candidate was refused for this reason.
    async fn refused(&self, reason: &str) -> anyhow::Result<()> {
        eventually("a candidate is refused", SOON, || async {
            let last = self.status().await?["refusals"][0]["reason"].clone();
            Ok(last.as_str().unwrap_or_default().contains(reason).then_some(()))
        })
        .await
        .with_context(|| self.host.log())
    }

    fn load(&self) -> Load<Read> {
        let root = self.host.url("/read");
        Load::start(CONNECTIONS, move |client, turn| {
            let root = root.clone();
            async move {
                let id = ((turn.connection + turn.nth) % PRODUCTS) as u32 + 1;
                let outcome = Outcome::of(&client, &format!("{root}/product.page?id={id}")).await;
                let problem = match outcome.content() {
                    Ok(content) if content == expected_product(id) => None,
                    Ok(content) => Some(format!("{id}: {content}")),
                    Err(error) => Some(format!("{id}: {error:#}")),
                };
                let generation = outcome.answer.as_ref().ok().and_then(Answer::generation);
                Read { generation, problem }
            }
        })
    }
}

/// The key in `corral; hit; key="…"`.
fn key_of(answer: &Answer) -> String {
    let status = answer.header("cache-status");
    let key = status.split_once("key=\"").and_then(|(_, rest)| rest.split_once('"'));
    key.map_or_else(|| status.to_owned(), |(key, _)| key.to_owned())
}
