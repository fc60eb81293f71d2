//! `corral check`: every problem at once, each with its place.

use std::path::Path;
use std::process::Stdio;

use corral_host::policy::builtin;
use corral_tests::servers::corral;
use serde_json::{Value, json};
use tokio::process::Command;

use super::access::File;
use super::common::{PASSWORD, SOON, Servers, post};

#[tokio::test]
async fn what_is_right_is_ready_to_serve() {
    let config = Servers::shared().await.config("", "");
    let output = File::new(&config).run("check").await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    for line in [
        "passed the gate",
        "store: redis answers",
        "origin: postgres answers",
        "statements: 13 prepared",
        "ready to serve",
    ] {
        assert!(said.contains(line), "{line} is missing in {said}");
    }
}

#[tokio::test]
async fn a_policy_is_checked_for_people_and_for_pipelines() {
    let home = tempfile::tempdir().unwrap();
    let (good, bad) = (home.path().join("good.wasm"), home.path().join("bad.wasm"));
    std::fs::write(&good, builtin()).unwrap();
    std::fs::write(&bad, &builtin()[..1_000]).unwrap();

    let (code, said) = policy_check(&good, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    for line in ["passed: default@", "explored", "slowest calls: plan ", "memory: "] {
        assert!(said.contains(line), "{line} is missing in {said}");
    }
    let (code, said) = policy_check(&good, &["--json"]).await;
    let document: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &document["passed"]), (Some(0), &json!(true)));
    assert!(document["report"]["decisions"].as_u64() > Some(0), "{said}");

    let (code, said) = policy_check(&bad, &["--json"]).await;
    let document: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &document["passed"]), (Some(1), &json!(false)));
    assert_eq!(document["report"]["stage"], "format");
}

#[tokio::test]
async fn a_policy_is_examined_within_the_limits_of_the_configuration() {
    let home = tempfile::tempdir().unwrap();
    let (policy, config) = (home.path().join("policy.wasm"), home.path().join("corral.toml"));
    std::fs::write(&policy, builtin()).unwrap();
    std::fs::write(&config, "[policy.limits]\ncomponent = \"1KiB\"\n").unwrap();
    let config = config.to_str().unwrap();
    let (code, said) = policy_check(&policy, &["--config", config, "--json"]).await;
    let document: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &document["report"]["stage"]), (Some(1), &json!("size")));
}

async fn policy_check(policy: &Path, more: &[&str]) -> (Option<i32>, String) {
    let mut check = Command::from(corral().unwrap());
    check.args(["policy", "check"]).arg(policy).args(more).stdin(Stdio::null());
    let output = tokio::time::timeout(SOON, check.output()).await.unwrap().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test]
async fn a_configuration_that_can_not_be_read_is_refused_with_every_problem() {
    let config = r#"listen = "localhost:7070"
[store]
url = "http://127.0.0.1"
timout = "1s"
[entity.a]
params = ["id:int9"]
read = "SELECT 1"
ttl = "soon"
[entity.a.write.b]
touches = ["c(id)"]
"#;
    let said = refused(config, 2).await;
    for problem in [
        "1:10 listen: \"localhost:7070\" is not an IP address",
        "3:7 store.url: not an address that works here",
        "4:1 store.timout: unknown key; did you mean \"timeout\"?",
        "6:11 entity.a.params[0]: ",
        "8:7 entity.a.ttl: \"soon\" is not a duration",
        "entity.a.write.b.sql: missing",
        "10:12 entity.a.write.b.touches[0]: no entity \"c\"",
        "origin.url: missing",
        "8 problems",
    ] {
        assert!(said.contains(problem), "{problem} is missing in {said}");
    }
    let gone = File::new("");
    std::fs::remove_file(&gone.path).unwrap();
    let output = gone.run("check").await;
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn what_the_servers_and_the_policy_do_not_accept_is_listed_at_once() {
    let url = Servers::shared().await.origin_url();
    let config = format!(
        r#"[store]
url = "redis://:{PASSWORD}@127.0.0.1:1"
[origin]
url = "{url}"
[policy.settings]
namespace = "No!"
jitter = 7.0
jiter = 0.1
[entity."user.a"]
params = ["id:int8"]
read = "SELECT nothing FROM users WHERE id = $1"
ttl = "1m"
[entity."user.b"]
params = ["id:text"]
read = "SELECT id, name FROM users WHERE id = $1"
ttl = "1m"
[entity."user.c"]
params = ["id:int8"]
read = "SELECT id, id FROM users"
ttl = "1m"
[entity."user.c".write.rename]
params = ["name:text"]
sql = "UPDATE users SET nam = $1"
touches = "nothing"
"#
    );
    let said = refused(&config, 1).await;
    for problem in [
        "2:7 store.url: ",
        "6:13 policy.settings.namespace: ",
        "7:10 policy.settings.jitter: must be a number from 0 to ",
        "policy.settings.jiter: is unknown here",
        "11:8 entity.\"user.a\".read: the origin rejected the statement (42703): column \"nothing\" does not exist",
        "15:8 entity.\"user.b\".read: $1 is declared text, and the statement asks for int8: declare it so, or cast it in the statement",
        "19:8 entity.\"user.c\".read: 1 parameters are declared, and the statement uses 0",
        "19:8 entity.\"user.c\".read: the column `id` is answered more than once: rename one",
        "23:7 entity.\"user.c\".write.rename.sql: the origin rejected the statement (42703)",
        "entity.\"user.b\".read: with the declared types, the statement is refused: operator does not exist: bigint = text (42883)",
        "10 problems",
    ] {
        assert!(said.contains(problem), "{problem} is missing in {said}");
    }
}

/// Without the column the host can't know what was touched, and something stale would stay.
const BLIND: &str = r#"
[entity.blind]
params = ["id:int8"]
read = "SELECT id FROM users WHERE id = $1"
ttl = "1m"
tags = ["team:{row.team_id}"]
[entity.blind.write.move]
params = ["id:int8"]
sql = "UPDATE users SET team_id = 0 WHERE id = $1"
touches = ["tag team:{row.team_id}", "tag team:{old.team_id}"]
[entity.blind.write.rename]
params = ["id:int8"]
sql = "UPDATE users SET name = 'x' WHERE id = $1 RETURNING team_id"
touches = ["tag team:{row.team_id}"]
allow = ["stale-reads"]
"#;

#[tokio::test]
async fn columns_that_tags_and_touches_need_are_missed() {
    let servers = Servers::shared().await;
    let said = refused(servers.config("", BLIND), 1).await;
    for problem in [
        "entity.blind.read: its tags need the column `team_id`: answer it, in its SELECT",
        "entity.blind.write.move.sql: its touches need the column `team_id`: answer it, with RETURNING",
        "entity.blind.write.move.sql: its touches need the column `old.team_id`: answer it, with RETURNING",
        "3 problems",
    ] {
        assert!(said.contains(problem), "{problem} is missing in {said}");
    }

    let host = servers.host(BLIND).await;
    let refused = post(&host, "/write/blind/move", r#"{"id": 41}"#).await;
    let document = refused.json().unwrap();
    assert_eq!((refused.status.as_u16(), &document["column"]), (502, &"team_id".into()));
    assert_eq!(document["title"], "Nothing was written");
    let rows = servers.postgres.psql("SELECT count(*) FROM users WHERE team_id = 0 AND id = 41");
    assert_eq!(rows.await.unwrap(), [[Some("0".to_owned())]]);
    // No row was changed, so nothing was touched.
    let nobody = post(&host, "/write/blind/move", r#"{"id": -1}"#).await;
    assert_eq!(nobody.json().unwrap()["rows"], 0);
    let renamed = post(&host, "/write/blind/rename", r#"{"id": 41}"#).await;
    assert_eq!(renamed.json().unwrap()["cache"], "invalidated");
}

/// One of each kind: a write that touches nothing, a tag that no read carries, a row that moved, a
/// list that was empty; and cases that may be intended.
const STALE: &str = r#"
[entity.members]
params = ["team:int8"]
read = "SELECT id, team_id FROM users WHERE team_id = $1"
rows = "many"
ttl = "1m"
tags = ["at:{row.team_id}"]
[entity.members.write.promote]
params = ["id:int8"]
sql = "UPDATE users SET role = 'admin' WHERE id = $1"
[entity.members.write.rename]
params = ["id:int8", "name:text"]
sql = "UPDATE users SET name = $2 WHERE id = $1"
touches = ["user.card(id)", "user.profile(id)", "tag usr:{id}"]
[entity.members.write.move]
params = ["id:int8", "team:int8"]
sql = "UPDATE users SET team_id = $2 WHERE id = $1"
touches = ["user.card(id)", "user.profile(id)", "tag at:{team}"]
"#;

/// The place in `STALE` of each finding.
const STALE_AT: [&str; 4] = [
    "entity.members.write.promote.touches: it touches nothing",
    "entity.members.write.rename.touches: no read carries a tag of this form",
    "entity.members.write.move.touches: the statement sets team_id",
    "entity.members.write.move.touches: members carries this tag by its rows alone",
];

const NOTED: &str = r#"
[entity."user.card".write.join]
params = ["id:int8"]
sql = "INSERT INTO users VALUES ($1, 'New', 'new@example.com', 'customer', 1)"
touches = ["tag user:{id}"]
allow = ["stale-reads"]
"#;

#[tokio::test]
async fn what_a_write_would_leave_stale_is_a_problem_unless_it_is_meant() {
    let servers = Servers::shared().await;
    let said = refused(servers.config("", STALE), 1).await;
    for problem in STALE_AT.into_iter().chain(["4 problems"]) {
        assert!(said.contains(problem), "{problem} is missing in {said}");
    }
    let meant = STALE
        .replace(
            "WHERE id = $1\"\n[",
            "WHERE id = $1\"\ntouches = \"nothing\"\nallow = [\"stale-reads\"]\n[",
        )
        .replace("\"tag usr:{id}\"]", "\"tag usr:{id}\"]\nallow = [\"unread-tags\"]")
        .replace("at:{team}\"]", "at:{team}\"]\nallow = [\"stale-moves\", \"stale-absence\"]");
    let output = File::new(&servers.config("", &format!("{meant}{NOTED}"))).run("check").await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let problems = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{problems}");
    let notes: Vec<&str> = said.lines().filter(|line| line.starts_with("note: ")).collect();
    assert_eq!(notes.len(), 1, "{said}");
    let note =
        "entity.\"user.card\".write.join.touches: it makes rows, and touches nothing of user.card";
    assert!(notes[0].contains(note), "{said}");
    assert!(said.ends_with(": ready to serve\n"), "{said}");
}

#[tokio::test]
async fn an_origin_that_does_not_answer_is_found() {
    let config = format!(
        "[entity.a]\nread = \"SELECT 1\"\nttl = \"1m\"\n\
         [origin]\nurl = \"postgres://app:{PASSWORD}@127.0.0.1:1/shop\"\n\
         [policy]\ncomponent = \"none.wasm\"\n"
    );
    let said = refused(&config, 1).await;
    assert!(said.contains("5:7 origin.url: origin unavailable"), "{said}");
    assert!(said.contains("7:13 policy.component: "), "{said}");
    assert!(said.contains("2 problems"), "{said}");
}

/// What `check` prints about a configuration. It must never print a password.
async fn refused(config: impl AsRef<str>, code: i32) -> String {
    let file = File::new(config.as_ref());
    let output = file.run("check").await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
    let path = file.path.display().to_string();
    let places = said.lines().filter(|line| line.contains(&path)).count();
    let count = said.lines().last().unwrap().split(' ').next().unwrap();
    assert_eq!(count.parse::<usize>().unwrap(), places, "each problem names the file: {said}");
    said
}
