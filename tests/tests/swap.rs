//! Policies exchanged under load, by file and by an operator, and candidates that are refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use corral_host::policy::builtin;
use corral_tests::client::{Answer, Client};
use corral_tests::load::{Load, Outcome, Turn, everything_ends};
use corral_tests::policies::variant;
use corral_tests::servers::{Host, Postgres, Redis, Threads, eventually, replace, threads};
use corral_tests::shop::{self, Shop, expected_product};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

const CONNECTIONS: usize = 32;

/// Exchanges of each kind. In a debug build, compiling the built-in component takes half a second
/// of a processor that the load needs too.
const EXCHANGES: u8 = if cfg!(debug_assertions) { 20 } else { 100 };

/// On this many connections each request reads a key that was not read before, so that loads are in
/// progress while policies are exchanged, and several connections share a load.
const LOADING: usize = 4;

/// The other connections read the products from 1 to this number.
const PRODUCTS: usize = 100;

/// How long before a request the flight may have begun whose answer the request shares: a load
/// takes ten milliseconds, and longer while a policy is compiled.
const FLIGHT: Duration = Duration::from_secs(1);

/// So many requests show that a host serves.
const MANY: usize = 500;

/// Far longer than any wait.
const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exchanges_under_load_fail_no_request() {
    let scene = Scene::start().await.unwrap();
    let load = scene.load();
    load.more(MANY, SOON).await.unwrap();
    let mut record = Record::of_first();
    for number in 0..EXCHANGES {
        scene.put_file(&variant(builtin(), number.into())).unwrap();
        scene.exchanged(&mut record).await.unwrap();
    }
    for number in 0..EXCHANGES {
        record.asked();
        let answer =
            scene.host.put("/admin/policy", variant(builtin(), number.into())).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.json().unwrap()["active"]["generation"], record.newest());
        record.confirmed();
    }
    load.more(MANY, SOON).await.unwrap();
    let reads = load.stop().await.unwrap();
    let problems = record.problems(&reads);
    assert!(problems.is_empty(), "{} of {}: {:#?}", problems.len(), reads.len(), problems.first());
    let named: BTreeMap<u64, usize> = record.named(&reads);
    assert!(named.len() > usize::from(EXCHANGES), "generations that answered: {named:?}");
    everything_ends(&scene.redis).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_policy_is_refused_with_the_reason_and_serving_goes_on() {
    let scene = Scene::start().await.unwrap();
    let load = scene.load();
    let mut record = Record::of_first();
    scene.put_file(&variant(builtin(), 1)).unwrap();
    scene.exchanged(&mut record).await.unwrap();
    for (bytes, stage, reason) in unfit() {
        let refusal = scene.host.put("/admin/policy", bytes.clone()).await.unwrap();
        assert_eq!(refusal.status, StatusCode::UNPROCESSABLE_ENTITY, "{refusal:?}");
        let problem = refusal.json().unwrap();
        assert_eq!(problem["type"], "urn:corral:problem:policy-refused");
        assert_eq!(problem["report"]["stage"], stage, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(reason), "{problem}");

        let before = scene.refused().await.unwrap();
        scene.put_file(&bytes).unwrap();
        eventually("the file is refused", SOON, || async {
            Ok((scene.refused().await? > before).then_some(()))
        })
        .await
        .unwrap();
        assert!(scene.host.log().contains(reason), "{}", scene.host.log());
        assert_eq!(scene.generation().await.unwrap(), record.newest(), "as it was");
        load.more(MANY, SOON).await.unwrap();
    }

    let back = scene.host.get("/read/product.page?id=1").await.unwrap();
    assert_eq!(back.generation(), Some(2));
    for expected in [1, 2] {
        let url = scene.host.url("/admin/policy/rollback");
        let answer = Client::new().request(Method::POST, &url, &[], "").await.unwrap();
        assert_eq!(answer.json().unwrap()["active"]["generation"], expected);
        let read = scene.host.get("/read/product.page?id=1").await.unwrap();
        assert_eq!(read.generation(), Some(expected));
    }
    let reads = load.stop().await.unwrap();
    let failed: Vec<_> = reads.iter().filter_map(|read| read.problem.as_ref()).collect();
    assert!(failed.is_empty(), "{} of {}: {:?}", failed.len(), reads.len(), failed.first());
    everything_ends(&scene.redis).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gate_runs_behind_the_threads_that_serve() {
    const GATE: &str = "corral-gate";
    let scene = Scene::start().await.unwrap();
    let pid = scene.host.pid().unwrap();
    let before = threads(pid).unwrap();
    assert!(!before.contains_key(GATE), "nothing came to the gate since the start: {before:?}");
    let answer = scene.host.put("/admin/policy", variant(builtin(), 1)).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let mut after = threads(pid).unwrap();
    let gate = after.remove(GATE).unwrap();
    let ran = |threads: &BTreeMap<String, Threads>| {
        threads.values().map(|threads| threads.ran).sum::<Duration>()
    };
    let serving = after.values().map(|threads| threads.nice).max().unwrap();
    assert!(gate.nice > serving, "{gate:?}, {after:?}");
    // The work that the gate leaves to other threads is to read the component and to make
    // instances. An idle thread may have ended meanwhile, and its time is missing then.
    let others = ran(&after).saturating_sub(ran(&before));
    assert!(gate.ran > others, "{gate:?}, before {before:?}, after {after:?}");
}

/// The control: the record notices a wrong generation.
#[test]
fn a_generation_that_was_not_active_during_a_request_is_found() {
    let mut record = Record::of_first();
    let early = Instant::now();
    record.asked();
    record.confirmed();
    let late = Instant::now();
    let read = |began, ended, generation| Read {
        began,
        ended,
        generation,
        collapsed: false,
        problem: None,
    };
    let right =
        [read(early, early, Some(1)), read(early, late, Some(2)), read(late, late, Some(2))];
    assert_eq!(record.problems(&right).len(), 0);
    let wrong = [read(early, early, Some(2)), read(late, late, Some(1)), read(late, late, Some(3))];
    assert_eq!(record.problems(&wrong).len(), 3);
    assert_eq!(record.problems(&[read(early, late, None)]).len(), 1);
}

/// A host that follows a policy's file.
struct Scene {
    host: Host,
    redis: Redis,
    _postgres: Postgres,
    directory: tempfile::TempDir,
}

impl Scene {
    async fn start() -> anyhow::Result<Self> {
        let (redis, postgres) = (Redis::start().await?, Postgres::start().await?);
        Shop::small().load(&postgres.url()).await?;
        let directory = tempfile::tempdir()?;
        std::fs::write(file_in(directory.path()), builtin())?;
        let config = format!(
            "{}[policy]\ncomponent = {}\n",
            shop::config(Some(&redis.url()), &postgres.url()),
            json!(file_in(directory.path())),
        );
        let host = Host::start(&config).await?;
        Ok(Self { host, redis, _postgres: postgres, directory })
    }

    /// Puts another file in the place of the policy's.
    fn put_file(&self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(replace(&file_in(self.directory.path()), bytes)?)
    }

    /// Waits until the next generation is active.
    async fn exchanged(&self, record: &mut Record) -> anyhow::Result<()> {
        record.asked();
        let next = record.newest();
        eventually(&format!("generation {next}"), SOON, || async {
            let generation = self.generation().await?;
            ensure!(generation <= next, "generation {generation} came before {next}");
            Ok((generation == next).then_some(()))
        })
        .await?;
        record.confirmed();
        Ok(())
    }

    async fn generation(&self) -> anyhow::Result<u64> {
        let status: Value = self.host.get("/admin/policy").await?.json()?;
        status["current"]["generation"].as_u64().context("a generation")
    }

    async fn refused(&self) -> anyhow::Result<f64> {
        let refused = [("result", "refused")];
        Ok(self.host.metrics().await?.sum_where("corral_policy_swaps_total", &refused))
    }

    fn load(&self) -> Load<Read> {
        let root = self.host.url("/read");
        let began = Instant::now();
        Load::start(CONNECTIONS, move |client, turn| read(client, root.clone(), turn, began))
    }
}

/// A read that is judged except for its generation.
struct Read {
    began: Instant,
    ended: Instant,
    generation: Option<u64>,
    /// Whether it shares the decision of a flight that began before it.
    collapsed: bool,
    problem: Option<String>,
}

async fn read(client: Client, root: String, turn: Turn, start: Instant) -> Read {
    let (path, expected) = if turn.connection < LOADING {
        let id = start.elapsed().as_millis() / 25;
        (format!("report.slow?id={id}&ms=10"), json!({"id": id as u64, "ms": 10}))
    } else {
        let id = ((turn.connection + turn.nth) % PRODUCTS) as u32 + 1;
        (format!("product.page?id={id}"), expected_product(id))
    };
    let outcome = Outcome::of(&client, &format!("{root}/{path}")).await;
    let problem = match outcome.content() {
        Ok(content) if content == expected => None,
        Ok(content) => Some(format!("{path}: {content}")),
        Err(error) => Some(format!("{path}: {error:#}")),
    };
    let Outcome { began, ended, answer } = outcome;
    let answer = answer.ok();
    let generation = answer.as_ref().and_then(Answer::generation);
    let collapsed = answer.is_some_and(|a| a.header("cache-status").contains("collapsed"));
    Read { began, ended, generation, collapsed, problem }
}

/// When each generation may have come into force, from generation 1 on.
struct Record {
    activations: Vec<Activation>,
}

/// The moments between which an activation happened.
struct Activation {
    asked: Instant,
    confirmed: Option<Instant>,
}

impl Record {
    fn of_first() -> Self {
        let now = Instant::now();
        Self { activations: vec![Activation { asked: now, confirmed: Some(now) }] }
    }

    fn asked(&mut self) {
        self.activations.push(Activation { asked: Instant::now(), confirmed: None });
    }

    fn confirmed(&mut self) {
        if let Some(last) = self.activations.last_mut() {
            last.confirmed = Some(Instant::now());
        }
    }

    fn newest(&self) -> u64 {
        self.activations.len() as u64
    }

    /// Whether this generation may have been active at some time of the request.
    fn allows(&self, read: &Read, generation: u64) -> bool {
        let Some(index) = usize::try_from(generation).ok().and_then(|n| n.checked_sub(1)) else {
            return false;
        };
        let Some(own) = self.activations.get(index) else { return false };
        let next = self.activations.get(index + 1).and_then(|next| next.confirmed);
        // The first generation was active before the record began.
        let flight = if read.collapsed { FLIGHT } else { Duration::ZERO };
        (index == 0 || own.asked <= read.ended)
            && next.is_none_or(|next| read.began <= next + flight)
    }

    fn problems(&self, reads: &[Read]) -> Vec<String> {
        let problem = |read: &Read| match (&read.problem, read.generation) {
            (Some(problem), _) => Some(problem.clone()),
            (None, None) => Some("an answer without a generation".to_owned()),
            (None, Some(generation)) if self.allows(read, generation) => None,
            (None, Some(generation)) => {
                let took = read.ended - read.began;
                Some(format!("generation {generation} was not active in a request of {took:?}"))
            }
        };
        reads.iter().filter_map(problem).collect()
    }

    /// How many answers name each generation.
    fn named(&self, reads: &[Read]) -> BTreeMap<u64, usize> {
        let mut named = BTreeMap::new();
        for generation in reads.iter().filter_map(|read| read.generation) {
            *named.entry(generation).or_default() += 1;
        }
        named
    }
}

/// Bytes that are not a policy, the stage of the gate that refuses them, and words of the reason.
fn unfit() -> [(Vec<u8>, &'static str, &'static str); 5] {
    let whole = builtin();
    [
        (b"\x7fELF, which is another kind of binary\0".to_vec(), "format", "not WebAssembly"),
        (b"(component)".to_vec(), "format", "it is text"),
        (whole[..whole.len() / 2].to_vec(), "format", "truncated"),
        // An empty component, of a world of its own.
        (b"\0asm\x0d\0\x01\0".to_vec(), "exports", "export"),
        // An empty core module.
        (b"\0asm\x01\0\0\0".to_vec(), "exports", "for which contract"),
    ]
}

fn file_in(directory: &Path) -> PathBuf {
    directory.join("policy.wasm")
}
