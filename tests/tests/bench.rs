//! `corral bench` as a process, on real hosts, and the comparison with other servers, small.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use corral_tests::fleet::Fleet;
use corral_tests::peers::compare::{self, Effort, Scenario};
use corral_tests::peers::growth::{self, Sizes};
use corral_tests::peers::item;
use corral_tests::peers::peer::Peer;
use corral_tests::peers::rig::Rig;
use corral_tests::peers::{chart, table};
use corral_tests::servers::corral;
use corral_tests::shop::Shop;
use serde_json::Value;

/// Far longer than any of these loads takes.
const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_are_loaded_and_what_it_cost_them_is_told() {
    let fleet = Fleet::start(2, &Shop::small(), "").await.unwrap();
    let mut args = read_from(&fleet, "product.page");
    args.extend(text([
        "--keys",
        "50",
        "--requests",
        "3000",
        "--warmup",
        "0s",
        "--connections",
        "8",
    ]));
    let pid = fleet.hosts[0].pid().unwrap().to_string();
    args.extend(text(["--pid", &pid]));
    let report = bench(&args).await.json();
    assert_eq!((&report["requests"], &report["failed"]), (&3000.into(), &0.into()), "{report}");
    // Each key is loaded once over both hosts; a request that waited for that load got no hit.
    assert_eq!(report["hosts"]["origin_loads"], 50, "{report}");
    assert!(report["hosts"]["policy_calls"].as_u64().unwrap() >= 3000, "{report}");
    let ratio = report["hit_ratio"].as_f64().unwrap();
    assert!((0.8..=0.984).contains(&ratio), "{report}");
    let latency = |name: &str| report["latency"][name].as_f64().unwrap();
    assert!(0.0 < latency("p50_us") && latency("p50_us") <= latency("p99_us"));
    assert!(latency("p99_us") <= latency("p99_9_us") && latency("p99_9_us") <= latency("max_us"));
    assert_eq!(report["write_latency"], Value::Null);
    assert_eq!(report["connections_opened"], 8);
    assert!(report["server_memory"]["begin_kib"].as_u64().unwrap() > 1_000, "{report}");
    assert!(report["server_cpu_us_per_request"].as_f64().unwrap() > 0.0, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_and_writes_are_mixed_and_traces_are_read_once() {
    let fleet = Fleet::start(1, &Shop::small(), "").await.unwrap();
    let mut mixed = read_from(&fleet, "product.page");
    mixed.extend(text(["--zipf", "1", "--keys", "20", "--requests", "1000", "--writes", "0.2"]));
    mixed.extend(["--write-url".to_owned(), fleet.hosts[0].url("/write/product.page/reprice")]);
    mixed.extend(text(["--write-body", r#"{"id": {n}, "price_cents": 1{n}}"#, "--warmup", "0s"]));
    let report = bench(&mixed).await.json();
    assert_eq!((&report["requests"], &report["failed"]), (&1000.into(), &0.into()), "{report}");
    assert!(report["write_latency"]["p50_us"].as_f64().unwrap() > 0.0);
    // A key that was written is loaded again.
    assert!(report["hosts"]["origin_loads"].as_u64().unwrap() > 20, "{report}");
    let page = fleet.hosts[0].get("/read/product.page?id=1").await.unwrap().json().unwrap();
    assert_eq!(page["price_cents"], 11);

    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"901\n902\n901\n903\n901\n902\n").unwrap();
    let mut recorded = read_from(&fleet, "product.page");
    recorded.extend(["--trace".to_owned(), file.path().display().to_string()]);
    let report = bench(&recorded).await.json();
    assert_eq!((&report["requests"], &report["hosts"]["origin_loads"]), (&6.into(), &3.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_is_kept_or_what_was_not_sent_is_told() {
    let fleet = Fleet::start(1, &Shop::small(), "").await.unwrap();
    let mut args = read_from(&fleet, "user.profile");
    args.extend(text(["--keys", "100", "--rate", "400", "--duration", "2s", "--warmup", "0s"]));
    let report = bench(&args).await.json();
    let (sent, unsent) = (&report["requests"], &report["unsent"]);
    let due = sent.as_u64().unwrap() + unsent.as_u64().unwrap();
    assert_eq!(due, 800, "{report}");
    assert_eq!((&report["rate"], &report["failed"]), (&400.0.into(), &0.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_is_counted_by_kind_and_is_a_failure() {
    let fleet = Fleet::start(1, &Shop::small(), "").await.unwrap();
    let mut args = read_from(&fleet, "no.such.entity");
    args.extend(text(["--requests", "50", "--warmup", "0s"]));
    let ended = bench(&args).await;
    assert_eq!(ended.code, 1);
    assert_eq!(ended.json()["errors"]["status 404"], 50);
    assert!(ended.said.contains("50 of 50 requests failed: 50 status 404"), "{}", ended.said);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_loaded_is_told_before_anything_is_sent() {
    // Nothing listens on this port: the kernel does not assign it.
    let nobody = bench(&text(["--url", "http://127.0.0.1:1/"])).await;
    assert_eq!((nobody.code, nobody.printed.as_str()), (1, ""));
    assert!(nobody.said.contains("http://127.0.0.1:1/ can't be reached"), "{}", nobody.said);
    let url = "http://127.0.0.1:1/";
    for (wrong, why) in [
        (vec!["--url", "https://127.0.0.1/"], "http://"),
        (vec!["--url", url, "--connections", "0"], "connections must be between 1 and"),
        (vec!["--url", url, "--keys", "0"], "keys must be between 1 and"),
        (vec!["--url", url, "--zipf=-1"], "no exponent"),
        (vec!["--url", url, "--rate", "0"], "requests per second must be"),
        (vec!["--url", url, "--duration", "2h"], "milliseconds of a load must be"),
        (vec!["--url", url, "--header", "x"], "no header"),
        (vec!["--url", url, "--trace", "no-such-file"], "--trace no-such-file"),
        (
            vec!["--url", url, "--writes", "0.5", "--write-url", "http://127.0.0.1:2/"],
            "the same server",
        ),
    ] {
        let refused = bench(&text(wrong.clone())).await;
        assert_eq!(refused.code, 2, "{wrong:?}: {}", refused.said);
        assert!(refused.said.contains(why), "{wrong:?}: {}", refused.said);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_compared_and_one_that_is_missing_is_told() {
    let peers = [Peer::CorralStore(1), Peer::Constant(1), Peer::HandWritten(1)];
    let effort = Effort { rounds: 2, time: Duration::from_millis(200) };
    let mut comparison = compare::run(&peers, effort, &|_| ()).await.unwrap();
    assert_eq!((comparison.lines.len(), comparison.missing.len()), (3, 0), "{comparison:?}");
    for line in &comparison.lines {
        for scenario in Scenario::ALL {
            let outcome = line.outcome(scenario).unwrap();
            assert!(outcome.requests_per_second.least > 0.0, "{outcome:?}");
            assert!(outcome.memory_mib.least > 0.0, "{outcome:?}");
        }
    }
    // A hit costs one step; its plan is remembered.
    assert!(comparison.lines[0].policy_calls_per_request.unwrap() > 0.5, "{comparison:?}");
    assert!(comparison.claims.iter().any(|claim| claim.what.contains("hand-written")));

    let reason = "there is <no> package".to_owned();
    comparison.missing.push(compare::Missing { name: "nginx".to_owned(), reason });
    let text = table::comparison(&comparison);
    for part in
        ["missing: nginx: there is <no> package", "axum + redis by hand, one thread", "50 %"]
    {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let svg = chart::svg(&comparison);
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    for line in &comparison.lines {
        assert!(svg.contains(&line.name), "{svg}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_another_answer_is_not_measured() {
    let rig = Rig::start().await.unwrap();
    let hand_written = Peer::HandWritten(1).start(&rig).await.unwrap();
    item::check(&hand_written.url()).await.unwrap();
    let mut redis = rig.redis.connect().await.unwrap();
    let other = item::body(8, item::BYTES);
    let () = redis::cmd("SET").arg("item:7").arg(other).query_async(&mut redis).await.unwrap();
    let error = item::check(&hand_written.url()).await.unwrap_err();
    assert!(error.to_string().contains("does not answer what the others do"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn growth_has_a_table_for_each_thing_that_grows() {
    let sizes = Sizes {
        time: Duration::from_millis(100),
        entries: vec![100],
        connections: vec![1, 3],
        tagged: vec![1, 50],
        hosts: vec![2],
        bytes: vec![100, 20_000],
    };
    let tables = growth::run(&sizes, &|_| ()).await.unwrap();
    let lines: Vec<_> = tables.iter().map(|table| table.lines.len()).collect();
    assert_eq!(lines, [2, 2, 2, 1, 2, 1]);
    assert!(table::growth(&tables).contains("keys that carry a tag"));
}

/// The result of a run of the command.
struct Ended {
    code: i32,
    printed: String,
    said: String,
}

impl Ended {
    fn json(&self) -> Value {
        serde_json::from_str(&self.printed).unwrap_or_else(|_| panic!("no JSON: {}", self.said))
    }
}

/// Runs `corral bench --json` with these arguments.
async fn bench(args: &[String]) -> Ended {
    let mut command = tokio::process::Command::from(corral().unwrap());
    command.args(["bench", "--json"]).args(args).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.unwrap().unwrap();
    Ended {
        code: output.status.code().unwrap(),
        printed: String::from_utf8(output.stdout).unwrap(),
        said: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The arguments that read an entity from all hosts and collect the hosts' counts.
fn read_from(fleet: &Fleet, entity: &str) -> Vec<String> {
    let mut args = Vec::new();
    for host in &fleet.hosts {
        args.extend(["--url".to_owned(), host.url(&format!("/read/{entity}?id={{n}}"))]);
    }
    for url in fleet.admin_urls() {
        args.extend(["--admin".to_owned(), url]);
    }
    args
}

fn text<'a>(args: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    args.into_iter().map(str::to_owned).collect()
}
