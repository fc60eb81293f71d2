use corral_tests::fleet::Fleet;
use corral_tests::shop;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::common::{admin, ask, fleet, renaming, renaming_file, run};

#[tokio::test]
async fn what_a_read_would_do_is_said_and_nothing_is_done() {
    let fleet = fleet("").await;
    let cold = explained(&fleet, "user.profile?id=%2B042").await;
    assert_eq!(cold["read"], r#"user.profile(id="42")"#);
    assert_eq!((&cold["params"], &cold["store"]), (&json!({"id": "42"}), &json!("redis")));
    assert_eq!(cold["breaker"], "closed");
    let active = &cold["active"];
    assert_eq!(active["key"], "v1:user.profile:42");
    assert_eq!(active["tags"], json!(["user:42"]));
    assert_eq!((&active["row_columns"], active.get("row_tags")), (&json!(["team_id"]), None));
    assert_eq!((&active["envelope"], &active["lease_held_ms"]), (&Value::Null, &Value::Null));
    assert!(active["policy"].as_str().unwrap().ends_with(";generation=1"), "{active}");
    assert_eq!(
        turns(active, "now"),
        "absent → claim → lease-granted → load → loaded → fill → filled → answer"
    );
    let fill = &course(active, "now")[2];
    let fresh = &fill["lifetimes"]["fresh_ms"];
    // Five minutes ± a fifth.
    assert!(
        fresh["min"].as_u64() < Some(245_000) && fresh["max"].as_u64() > Some(355_000),
        "{fill}"
    );
    assert_eq!(fill["lifetimes"]["stale_ms"]["mean"], 3_600_000);

    assert_eq!(fleet.redis.values("*").await.unwrap(), Vec::<String>::new(), "nothing was written");
    let leases = fleet.redis.keys("corral:1:lease:*").await.unwrap();
    assert_eq!(leases, Vec::<String>::new(), "nothing was claimed");
    assert_eq!(fleet.sum("corral_origin_loads_total").await.unwrap(), 0.0, "nothing was loaded");
    assert_eq!(fleet.sum("corral_policy_calls_total").await.unwrap(), 0.0, "nothing was counted");
}

#[tokio::test]
async fn an_envelope_is_shown_without_its_content() {
    let fleet = fleet("").await;
    let read = fleet.hosts[0].get("/read/user.profile?id=42").await.unwrap();
    let warm = explained(&fleet, "user.profile?id=42").await;
    let (active, envelope) = (&warm["active"], &warm["active"]["envelope"]);
    assert_eq!(envelope["bytes"], read.body.len());
    assert_eq!((&envelope["generation"], &envelope["negative"]), (&json!(1), &json!(false)));
    assert!(envelope["fresh_for_ms"].as_u64() > envelope["refresh_in_ms"].as_u64(), "{envelope}");
    assert!(envelope["kept_for_ms"].as_u64() > Some(3_600_000), "{envelope}");
    assert_eq!(active["row_tags"], json!(["team:42"]));
    assert_eq!(turns(active, "now"), "found → answer");
    let cold = turns(active, "if nothing were stored");
    assert!(cold.starts_with("absent → claim → lease-granted → load → loaded → fill"), "{cold}");
    let failed = turns(active, "if the load failed");
    assert_eq!(failed, "absent → claim → lease-granted → load → load-failed → fail");
    let failed = turns(active, "if it were stale and the load failed");
    assert_eq!(failed, "found → claim → lease-granted → load → load-failed → answer");
    assert!(!warm.to_string().contains("example.com"), "{warm}");

    // A row that does not exist: an envelope without a body.
    let gone = fleet.hosts[0].get("/read/user.profile?id=4200").await.unwrap();
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    let gone = explained(&fleet, "user.profile?id=4200").await;
    let envelope = &gone["active"]["envelope"];
    assert_eq!((&envelope["negative"], &envelope["bytes"]), (&json!(true), &json!(0)));
    assert!(envelope["fresh_for_ms"].as_u64() <= Some(36_000), "the negative lifetime: {envelope}");
}

#[tokio::test]
async fn a_lease_that_is_held_and_a_store_that_is_away_are_said() {
    let mut fleet = fleet("").await;
    let mut connection = fleet.redis.connect().await.unwrap();
    let name = shop::name("user.profile", "v1:user.profile:42").unwrap();
    let lease = format!("corral:1:lease:{{{name}}}");
    let mut hold = redis::cmd("SET");
    hold.arg(lease).arg("another's").arg("PX").arg(60_000);
    hold.exec_async(&mut connection).await.unwrap();
    let held = explained(&fleet, "user.profile?id=42").await;
    assert!((1..=60_000).contains(&held["active"]["lease_held_ms"].as_u64().unwrap()), "{held}");
    let waits = "absent → claim → lease-held → wait → waited → claim → found → answer";
    assert_eq!(turns(&held["active"], "now"), waits);

    fleet.redis.kill();
    let away = explained(&fleet, "user.profile?id=42").await;
    assert!(away["active"]["problem"].is_string(), "{away}");
    assert_eq!(
        turns(&away["active"], "now"),
        "store-unavailable → load-uncached → loaded → answer"
    );
}

#[tokio::test]
async fn a_candidate_is_explained_beside_the_policy_in_force() {
    let fleet = fleet("").await;
    let path = "/admin/explain/user.profile?id=42";
    let answer = ask(&fleet, Method::POST, path, renaming()).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let both = answer.json().unwrap();
    assert_eq!(both["active"]["key"], "v1:user.profile:42");
    assert_eq!(both["candidate"]["key"], "renamed:v1:user.profile:42");
    assert!(!both["candidate"]["policy"].as_str().unwrap().contains("generation"), "{both}");
    let [now, then] = ["active", "candidate"].map(|side| turns(&both[side], "now"));
    assert_eq!(now, then);

    let refused = ask(&fleet, Method::POST, path, b"\0asm".to_vec()).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:?}");
    assert_eq!(refused.json().unwrap()["type"], "urn:corral:problem:policy-refused");
    let policy = ask(&fleet, Method::GET, "/admin/policy", Vec::new()).await.json().unwrap();
    assert_eq!(policy["current"]["generation"], 1, "nothing was put in force");
}

#[tokio::test]
async fn what_can_not_be_explained_is_a_problem_document() {
    let fleet = fleet("[admin]\ntoken = \"t-admin\"\n").await;
    let get = async |path: &str, headers: &[(&str, &str)]| {
        let url = fleet.hosts[0].url(path);
        let client = corral_tests::client::Client::new();
        client.request(Method::GET, &url, headers, "").await.unwrap().status
    };
    let token = [("authorization", "Bearer t-admin")];
    assert_eq!(get("/admin/explain/user.profile?id=42", &[]).await, StatusCode::UNAUTHORIZED);
    assert_eq!(get("/admin/explain/user.profile?id=42", &token).await, StatusCode::OK);
    assert_eq!(get("/admin/explain/nobody?id=42", &token).await, StatusCode::NOT_FOUND);
    for query in ["", "?id=x", "?id=1&id=1", "?id=1&more=1"] {
        let path = format!("/admin/explain/user.profile{query}");
        assert_eq!(get(&path, &token).await, StatusCode::BAD_REQUEST, "{path}");
    }
}

#[tokio::test]
async fn the_command_shows_it_as_text_and_as_the_document() {
    let fleet = fleet("").await;
    let (url, (_folder, file)) = (admin(&fleet), renaming_file());
    let candidate = file.display().to_string();
    let args = ["explain", "user.profile", "id=42", "--url", &url];
    let text = run(&args).await.unwrap();
    for line in [
        "user.profile(id=\"42\")",
        "  key: v1:user.profile:42",
        "  tags depend on columns: team_id",
        "  envelope: none",
        "  lease: free",
        "  now:",
        "    absent → claim(1000 ms)",
        "    filled → answer",
        "  if the store did not answer:",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line:?} is missing in\n{text}");
    }
    let args = ["explain", "user.profile", "id=42", "--url", &url, "--candidate", &candidate];
    let text = run(&args).await.unwrap();
    assert!(text.contains("  key: renamed:v1:user.profile:42\n"), "{text}");
    let json = run(&["explain", "user.profile", "id=42", "--url", &url, "--json"]).await.unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["active"]["key"], "v1:user.profile:42");
    let (code, words) = run(&["explain", "user.profile", "id=x", "--url", &url]).await.unwrap_err();
    assert_eq!(code, 1);
    assert!(words.contains("A parameter is wrong"), "{words}");
}

async fn explained(fleet: &Fleet, read: &str) -> Value {
    let answer = ask(fleet, Method::GET, &format!("/admin/explain/{read}"), Vec::new()).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json().unwrap()
}

fn course<'e>(explanation: &'e Value, when: &str) -> &'e Vec<Value> {
    let courses = explanation["courses"].as_array().unwrap();
    let course = courses.iter().find(|course| course["when"] == when);
    course.unwrap_or_else(|| panic!("{explanation}"))["turns"].as_array().unwrap()
}

/// Events and actions of a flight, without their figures.
fn turns(explanation: &Value, when: &str) -> String {
    let word = |text: &Value| text.as_str().unwrap().split('(').next().unwrap().to_owned();
    let turns = course(explanation, when).iter();
    let words = turns.flat_map(|turn| [word(&turn["event"]), word(&turn["action"])]);
    words.collect::<Vec<_>>().join(" → ")
}
