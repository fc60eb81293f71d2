use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::common::{differing, renaming_file, run};

/// A comparison of entities needs no origin.
const CONFIG: &str = r#"
[origin]
url = "sqlite:nowhere.db"
[entity."user.profile"]
params = ["id:int8"]
read = "SELECT id, team_id FROM users WHERE id = $1"
ttl = "5m"
tags = ["user:{id}", "team:{row.team_id}"]
[entity."user.profile".write.rename]
params = ["id:int8", "name:text"]
sql = "UPDATE users SET name = $2 WHERE id = $1"
touches = ["user.profile(id)", "tag user:{id}"]
"#;

#[tokio::test]
async fn a_policy_that_renames_keys_differs_in_that_alone() {
    let (_folder, config) = config();
    let (_other, renaming) = renaming_file();
    let renaming = renaming.display().to_string();
    let args = ["policy", "diff", "builtin", &renaming, "--config", &config, "--json"];
    let report: Value = serde_json::from_str(&run(&args).await.unwrap()).unwrap();
    let expected = ("user.profile".to_owned(), "key".to_owned(), 100);
    assert_eq!(differing(&report), [expected]);
    assert_eq!((&report["lifetimes"], report.get("trace")), (&json!([]), None));
    assert_ne!(report["old"]["digest"], report["new"]["digest"]);

    // A difference is a failure only if the command is asked to treat it as one.
    let text = run(&args[..6]).await.unwrap();
    assert!(text.contains("user.profile: key differs in 100 of 100\n"), "{text}");
    assert!(text.contains("    new: \"renamed:v1:user.profile:1\"\n"), "{text}");
    let args = [&args[..6], &["--exit-code"]].concat();
    assert_eq!(run(&args).await.unwrap_err().0, 1);
    let args = ["policy", "diff", "builtin", "builtin", "--config", &config, "--exit-code"];
    assert!(run(&args).await.unwrap().contains(", 0 differ\n"));
}

#[tokio::test]
async fn a_side_has_a_configuration_or_settings_of_its_own() {
    let (folder, config) = config();
    let longer = other(&folder, "ttl = \"5m\"", "ttl = \"10m\"");
    let args = ["policy", "diff", "builtin", "builtin", "--config", &config, "--json"];
    let args = [&args[..], &["--new-config", &longer]].concat();
    let report: Value = serde_json::from_str(&run(&args).await.unwrap()).unwrap();
    let expected = ("user.profile".to_owned(), "lifetime".to_owned(), 1_000);
    assert_eq!(differing(&report), [expected]);
    let shift = &report["lifetimes"][0];
    assert_eq!((&shift["entity"], &shift["negative"]), (&json!("user.profile"), &json!(false)));
    let mean = |side: &str| shift[side]["fresh_ms"]["mean"].as_f64().unwrap();
    assert!((mean("new") / mean("old") - 2.0).abs() < 0.02, "{shift}");

    let args = ["policy", "diff", "builtin", "builtin", "--config", &config];
    let wrong = [&args[..], &["--old-settings", "jitter = 1"]].concat();
    assert_eq!(run(&wrong).await.unwrap_err().0, 2);
    let refused = [&args[..], &["--old-settings", r#"{"jitter": 7}"#]].concat();
    let (code, words) = run(&refused).await.unwrap_err();
    assert!(code == 1 && words.contains("jitter"), "{words}");
}

#[tokio::test]
async fn recorded_requests_are_asked_as_they_were_sent() {
    let (folder, config) = config();
    let (_other, renaming) = renaming_file();
    let (renaming, file) = (renaming.display().to_string(), folder.path().join("requests"));
    let recorded = r#"
        {"entity": "user.profile", "params": {"id": 7}}
        {"entity": "user.profile", "params": {"id": "0042"}}
        {"entity": "user.profile", "write": "rename", "params": {"id": 7, "name": "Ada"}}
    "#;
    std::fs::write(&file, recorded).unwrap();
    let requests = file.display().to_string();
    let args = ["policy", "diff", "builtin", &renaming, "--config", &config, "--json"];
    let args = [&args[..], &["--requests", &requests]].concat();
    let report: Value = serde_json::from_str(&run(&args).await.unwrap()).unwrap();
    let expected = ("user.profile".to_owned(), "key".to_owned(), 2);
    assert_eq!(differing(&report), [expected]);
    let targets = |finding: &&Value| finding["aspect"] == "targets";
    let targets = report["findings"].as_array().unwrap().iter().find(targets).unwrap();
    assert_eq!(targets["compared"], 1);

    std::fs::write(&file, "\n{\"entity\": \"user.profile\", \"params\": {\"id\": \"x\"}}").unwrap();
    let (code, words) = run(&args).await.unwrap_err();
    assert!(code == 2 && words.contains("line 2: id: "), "{words}");
}

#[tokio::test]
async fn a_trace_is_played_under_both() {
    let (folder, config) = config();
    let file = folder.path().join("trace");
    std::fs::write(&file, "7\n".repeat(1_000)).unwrap();
    let trace = file.display().to_string();
    let args = ["policy", "diff", "builtin", "builtin", "--config", &config, "--json"];
    let short = other(&folder, "ttl = \"5m\"", "ttl = \"10s\"");
    let steady = r#"{"jitter": 0, "early_refresh": 0}"#;
    let new = ["--new-config", &short, "--new-settings", steady];
    let played = ["--trace", &trace, "--rate", "10", "--entity", "user.profile", "--cost-ms", "5"];
    let args = [&args[..], &played, &new].concat();
    let report: Value = serde_json::from_str(&run(&args).await.unwrap()).unwrap();
    // A hundred seconds: less than one lifetime of five minutes, and ten lifetimes of ten seconds.
    let side = |side: &str| {
        (report["trace"][side]["loads"].clone(), report["trace"][side]["hits"].clone())
    };
    assert_eq!(side("old"), (json!(1), json!(999)));
    assert_eq!(side("new"), (json!(10), json!(990)));
    let args = ["policy", "diff", "builtin", "builtin", "--config", &config, "--trace", &trace];
    assert_eq!(run(&args).await.unwrap_err().0, 2, "without a rate there is no time");
}

/// The configuration with `part` replaced.
fn other(folder: &TempDir, part: &str, instead: &str) -> String {
    assert!(CONFIG.contains(part), "{part}");
    let path: PathBuf = folder.path().join("other.toml");
    std::fs::write(&path, CONFIG.replacen(part, instead, 1)).unwrap();
    path.display().to_string()
}

fn config() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("corral.toml");
    std::fs::write(&path, CONFIG).unwrap();
    let path = path.display().to_string();
    (folder, path)
}
