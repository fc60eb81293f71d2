use corral_host::policy::builtin;
use corral_tests::fleet::Fleet;
use corral_tests::servers::eventually;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::common::{SOON, admin, ask, differing, fleet, renaming, renaming_file, run};

const PATH: &str = "/admin/policy/shadow";

const READS: u64 = 20;

#[tokio::test]
async fn a_shadow_of_what_is_in_force_finds_no_difference() {
    let fleet = fleet("").await;
    start(&fleet, builtin().to_vec(), "").await;
    let flights = use_it(&fleet).await;
    let report = compared(&fleet, flights).await;
    assert_eq!(differing(&report), []);
    assert_eq!((&report["traps"], &report["dropped"]), (&json!(0), &json!(0)));
    assert_eq!(report["changes"], 1);
    assert!(report["mean_call_us"].as_f64() > Some(0.0), "{report}");
    let compared = |aspect: &str| {
        let of =
            |finding: &&Value| finding["aspect"] == aspect && finding["entity"] == "user.profile";
        report["findings"].as_array().unwrap().iter().find(of).unwrap()["compared"]
            .as_u64()
            .unwrap()
    };
    assert_eq!((compared("key"), compared("lifetime")), (2 * READS, READS));
    assert_eq!((compared("targets"), compared("action")), (1, (4 + 1) * READS));
}

#[tokio::test]
async fn a_shadow_that_renames_keys_is_reported_with_that_and_has_no_effect() {
    let fleet = fleet("").await;
    let report = start(&fleet, renaming(), "?sample=1").await;
    assert_eq!((&report["running"], &report["flights"]), (&json!(true), &json!(0)));
    let flights = use_it(&fleet).await;
    let report = compared(&fleet, flights).await;
    let expected = ("user.profile".to_owned(), "key".to_owned(), flights);
    assert_eq!(differing(&report), [expected]);
    let finding =
        report["findings"].as_array().unwrap().iter().find(|f| f["differing"] != 0).unwrap();
    let examples = finding["examples"].as_array().unwrap();
    assert!((1..=3).contains(&examples.len()), "{examples:?}");
    let first = &examples[0];
    assert_eq!(first["at"], r#"user.profile(id="1")"#);
    assert_eq!(
        (&first["old"], &first["new"]),
        (&json!("\"v1:user.profile:1\""), &json!("\"renamed:v1:user.profile:1\""))
    );

    assert_eq!(fleet.redis.values("renamed:*").await.unwrap(), Vec::<String>::new());
    let policy = ask(&fleet, Method::GET, "/admin/policy", Vec::new()).await.json().unwrap();
    assert_eq!(
        (&policy["current"]["generation"], &policy["current"]["traps"]),
        (&json!(1), &json!(0))
    );

    let ended = ask(&fleet, Method::DELETE, PATH, Vec::new()).await.json().unwrap();
    assert_eq!((&ended["running"], &ended["flights"]), (&json!(false), &json!(flights)));
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(ask(&fleet, method, PATH, Vec::new()).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn what_fails_the_gate_or_samples_nothing_is_no_shadow() {
    let fleet = fleet("").await;
    let refused = ask(&fleet, Method::PUT, PATH, b"\0asm".to_vec()).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:?}");
    for query in ["?sample=0", "?sample=1.5", "?sample=x", "?samples=1"] {
        let answer = ask(&fleet, Method::PUT, &format!("{PATH}{query}"), builtin().to_vec()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query} {answer:?}");
    }
    assert_eq!(ask(&fleet, Method::GET, PATH, Vec::new()).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_command_starts_reads_and_ends_it() {
    let fleet = fleet("").await;
    let (url, (_folder, file)) = (admin(&fleet), renaming_file());
    let file = file.display().to_string();
    let started = run(&["policy", "shadow", &file, "--url", &url]).await.unwrap();
    assert!(started.starts_with("renamed@1.0.0: running since "), "{started}");
    let flights = use_it(&fleet).await;
    compared(&fleet, flights).await;
    let report = run(&["policy", "shadow", "--report", "--url", &url]).await.unwrap();
    let differs = format!("user.profile: key differs in {flights} of {flights}");
    assert!(report.lines().any(|line| line == differs), "{report}");
    assert!(report.contains("    shadow:   \"renamed:v1:user.profile:1\""), "{report}");
    let ended = run(&["policy", "shadow", "--end", "--url", &url]).await.unwrap();
    assert!(ended.starts_with("renamed@1.0.0: ended\n"), "{ended}");
    let (code, words) = run(&["policy", "shadow", "--report", "--url", &url]).await.unwrap_err();
    assert_eq!(code, 1);
    assert!(words.contains("There is no shadow"), "{words}");
    // Without a file and without a command for the shadow, the command line is wrong.
    assert_eq!(run(&["policy", "shadow", "--url", &url]).await.unwrap_err().0, 2);
}

async fn start(fleet: &Fleet, component: Vec<u8>, query: &str) -> Value {
    let answer = ask(fleet, Method::PUT, &format!("{PATH}{query}"), component).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json().unwrap()
}

/// Reads each of some users cold and warm, and writes one; returns the number of flights.
async fn use_it(fleet: &Fleet) -> u64 {
    let host = &fleet.hosts[0];
    for id in (1..=READS).chain(1..=READS) {
        let answer = host.get(&format!("/read/user.profile?id={id}")).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    let user = json!({"id": 50, "name": "Ada", "email": "ada@example.com"});
    let answer = host.post("/write/user.profile/rename", &user).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    2 * READS
}

/// The report once so many flights and the write have been compared.
async fn compared(fleet: &Fleet, flights: u64) -> Value {
    let look = || async {
        let report = ask(fleet, Method::GET, PATH, Vec::new()).await.json()?;
        let done = report["flights"] == flights && report["changes"] == 1;
        Ok(done.then_some(report))
    };
    eventually("the flights are compared", SOON, look).await.unwrap()
}
