//! What operators see: health, metrics, the policy and its exchange.

use corral_host::policy::builtin;
use corral_tests::client::Client;
use corral_tests::policies::variant;
use corral_tests::servers::{Host, eventually, replace};
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::common::{SOON, Servers, ask, get, post};

/// The metrics that a host has from its first scrape on. Histograms end in `_count`.
const METRICS: [&str; 17] = [
    "corral_reads_total",
    "corral_read_seconds_count",
    "corral_origin_loads_total",
    "corral_origin_load_seconds_count",
    "corral_flights",
    "corral_coalesced_total",
    "corral_lease_total",
    "corral_fill_total",
    "corral_invalidations_total",
    "corral_pending_invalidations",
    "corral_breaker_state",
    "corral_intents_total",
    "corral_policy_calls_total",
    "corral_policy_call_seconds_count",
    "corral_policy_generation",
    "corral_policy_swaps_total",
    "corral_http_disconnects_total",
];

#[tokio::test]
async fn health_and_metrics_answer_on_the_faces_they_belong_to() {
    let host = Servers::shared().await.host("").await;
    let (front, back) = (host.url(""), host.url("/metrics").replace("/metrics", ""));
    for face in [&front, &back] {
        let alive = Client::new().get(&format!("{face}/healthz")).await.unwrap();
        assert_eq!((alive.status, alive.text().unwrap()), (StatusCode::OK, "alive\n"));
        let ready = Client::new().get(&format!("{face}/readyz")).await.unwrap();
        assert_eq!(ready.status, StatusCode::OK);
        let expected = json!({"ready": true, "store": "closed", "origin": true,
                              "pending_invalidations": 0, "reasons": []});
        assert_eq!(ready.json().unwrap(), expected);
    }
    // A token for reads does not give access to the policy, and the other way round.
    for (face, path) in
        [(&front, "/metrics"), (&front, "/admin/policy"), (&back, "/read/user.profile?id=1")]
    {
        let nothing = Client::new().get(&format!("{face}{path}")).await.unwrap();
        assert_eq!(nothing.status, StatusCode::NOT_FOUND, "{path}");
    }

    get(&host, "/read/user.profile?id=1").await;
    post(&host, "/invalidate", r#"{"keys": ["v1:user.profile:1"]}"#).await;
    put_built_in(&host).await;
    let text = get(&host, "/metrics").await;
    assert_eq!(text.header("content-type"), "text/plain; version=0.0.4");
    let metrics = host.metrics().await.unwrap();
    for name in METRICS {
        assert!(metrics.names().any(|known| known == name), "{name} is missing");
    }
    let read = |labels: &[(&str, &str)]| metrics.sum_where("corral_reads_total", labels);
    assert_eq!(read(&[("entity", "user.profile"), ("outcome", "miss")]), 1.0);
    let invalidated = [("kind", "key"), ("result", "done")];
    // A key that is named without its entity is removed under every definition.
    assert!(metrics.sum_where("corral_invalidations_total", &invalidated) >= 1.0);
    let plans = [("function", "plan"), ("result", "ok")];
    assert!(metrics.sum_where("corral_policy_calls_total", &plans) >= 1.0);
    assert!(metrics.sum("corral_policy_call_seconds_count") >= 1.0);
    assert_eq!(metrics.sum("corral_policy_generation"), 2.0);
    assert_eq!(metrics.sum("corral_breaker_state"), 0.0);
}

#[tokio::test]
async fn the_entities_in_force_are_told_without_their_statements() {
    let host = Servers::shared().await.host("").await;
    let told = get(&host, "/admin/entities").await;
    let entities = told.json().unwrap();
    let card = entities.as_array().unwrap().iter().find(|entity| entity["name"] == "user.card");
    let expected = json!({"name": "user.card", "params": ["id:int8"], "ttl_ms": 300_000, "tags": [],
                          "writes": ["add", "divide", "rename"]});
    assert_eq!(card, Some(&expected));
    assert!(!told.text().unwrap().contains("SELECT"), "{told:?}");
}

#[tokio::test]
async fn a_client_that_does_not_wait_is_counted_and_what_it_asked_for_is_stored() {
    let host = Servers::shared().await.host("").await;
    get(&host, "/read/user.profile?id=1").await;
    let left = async || host.metrics().await.unwrap().sum("corral_http_disconnects_total");
    assert_eq!(left().await, 0.0, "the control");
    let mut client =
        TcpStream::connect(host.url("").strip_prefix("http://").unwrap()).await.unwrap();
    let request = "GET /read/report.slow?id=77&ms=300 HTTP/1.1\r\nhost: corral\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let loads = [("entity", "report.slow")];
    let loading = async || {
        let metrics = host.metrics().await?;
        Ok((metrics.sum_where("corral_origin_loads_total", &loads) > 0.0).then_some(()))
    };
    eventually("the load to begin", SOON, loading).await.unwrap();
    drop(client);
    let counted = async || Ok((left().await == 1.0).then_some(()));
    eventually("the client to be missed", SOON, counted).await.unwrap();
    assert_eq!(get(&host, "/read/report.slow?id=77&ms=300").await.status, StatusCode::OK);
    assert_eq!(host.metrics().await.unwrap().sum_where("corral_origin_loads_total", &loads), 1.0);
}

#[tokio::test]
async fn a_host_without_its_origin_is_ready_and_says_what_it_lacks() {
    let config = "[origin]\nurl = \"postgres://app@127.0.0.1:1/shop\"\n[entity.a]\nread = \"SELECT 1\"\nttl = \"1m\"\n";
    let host = Host::start(config).await.unwrap();
    let ready = get(&host, "/readyz").await;
    assert_eq!(ready.status, StatusCode::OK);
    let reasons = json!(["the origin does not answer: only stored values are served"]);
    assert_eq!(ready.json().unwrap()["reasons"], reasons);
    assert_eq!(ready.json().unwrap()["origin"], false);
}

#[tokio::test]
async fn a_component_is_taken_up_to_the_size_that_the_configuration_allows() {
    let limits = "[policy.limits]\ncomponent = \"256KiB\"\n";
    let host = Servers::shared().await.host(limits).await;
    for path in
        ["PUT /admin/policy", "PUT /admin/policy/shadow", "POST /admin/explain/product.page?id=1"]
    {
        let refused = ask(&host, path, &[], vec![0; (256 << 10) + 1]).await;
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}: {refused:?}");
        assert!(refused.json().unwrap()["detail"].as_str().unwrap().contains("262144"), "{path}");
    }
    assert_eq!(put_built_in(&host).await["active"]["generation"], 2);
}

#[tokio::test]
async fn a_policy_is_exchanged_and_rolled_back() {
    let host = Servers::shared().await.host("").await;
    let first = get(&host, "/admin/policy").await.json().unwrap();
    assert_eq!((&first["current"]["generation"], &first["previous"]), (&json!(1), &Value::Null));
    assert_eq!(first["current"]["origin"], "built-in");

    let second = put_built_in(&host).await;
    assert_eq!(second["active"]["generation"], 2);
    assert_eq!(second["active"]["origin"], "pushed");
    assert_eq!(second["active"]["digest"], first["current"]["digest"]);
    assert_eq!(generation(&host).await, 2);

    // A rollback, and a rollback of that rollback.
    for expected in [1, 2] {
        let back = ask(&host, "POST /admin/policy/rollback", &[], "").await;
        assert_eq!(back.status, StatusCode::OK);
        assert_eq!(back.json().unwrap()["active"]["generation"], expected);
        assert_eq!(generation(&host).await, expected);
    }

    // A candidate that is refused changes nothing.
    for broken in [&b"\0asm"[..], b"", b"no policy"] {
        let headers = [("content-type", "application/wasm")];
        let refused = ask(&host, "PUT /admin/policy", &headers, broken.to_vec()).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(generation(&host).await, 2);
    }
    let status = get(&host, "/admin/policy").await.json().unwrap();
    assert_eq!(status["previous"]["generation"], 1);
    let activations: Vec<_> = status["activations"].as_array().unwrap().iter().collect();
    let numbers: Vec<_> = activations.iter().map(|it| it["generation"].clone()).collect();
    assert_eq!(numbers, [2, 1, 2, 1]);
    let rollbacks: Vec<_> = activations.iter().map(|it| it["rollback"].clone()).collect();
    assert_eq!(rollbacks, [true, true, false, false]);
}

#[tokio::test]
async fn a_changed_policy_file_is_followed() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("policy.wasm");
    std::fs::write(&file, builtin()).unwrap();
    let policy = format!("[policy]\ncomponent = \"{}\"\n", file.display());
    let host = Servers::shared().await.host(&policy).await;
    assert_eq!(generation(&host).await, 1);
    replace(&file, variant(builtin(), 1)).unwrap();
    eventually("the file is followed", SOON, || async {
        Ok((generation(&host).await != 1).then_some(()))
    })
    .await
    .unwrap();
}

async fn put_built_in(host: &Host) -> Value {
    let answer = ask(host, "PUT /admin/policy", &[], builtin()).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    answer.json().unwrap()
}

/// The generation that decides now.
async fn generation(host: &Host) -> u64 {
    get(host, "/read/user.profile?id=1").await.generation().unwrap()
}
