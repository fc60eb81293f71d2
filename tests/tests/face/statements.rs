//! Statements that `corral check` refuses, and that a host serves: it begins all the same, and says so.

use corral_tests::servers::{Host, Postgres, eventually};
use hyper::StatusCode;

use super::common::{SOON, get};

/// What the database rejects is said once it is asked for.
const LOST: &str = "[entity.lost]\nread = \"SELECT n FROM nowhere\"\nttl = \"1m\"\n";
const FINE: &str = "[entity.fine]\nread = \"SELECT 1 AS n\"\nttl = \"1m\"\n";
const DICE: &str = "[entity.dice]\nread = \"SELECT random() AS n\"\nttl = \"1m\"\n";

#[tokio::test]
async fn a_statement_that_check_refuses_is_served_and_the_log_and_readyz_say_so() {
    let postgres = Postgres::start().await.unwrap();
    let config = |dice| format!("[origin]\nurl = \"{}\"\n{FINE}{LOST}{dice}", postgres.url());
    let host = Host::start(&config(DICE)).await.unwrap();
    assert_eq!(get(&host, "/read/dice").await.status, StatusCode::OK);
    eventually("it is named", SOON, || are_named(&host, &["dice"])).await.unwrap();
    let log = host.log();
    assert!(log.contains("random, which answers each call something else"), "{log}");
    host.configure(&config("")).unwrap();
    host.hup().unwrap();
    eventually("it is named no more", SOON, || are_named(&host, &[])).await.unwrap();
}

/// Whether these entities, and no others, are those that `/readyz` names.
async fn are_named(host: &Host, named: &[&str]) -> anyhow::Result<Option<()>> {
    let ready = host.get("/readyz").await?.json()?;
    let reasons = ready["reasons"].to_string();
    let is_named = |name: &str| reasons.contains(&format!(r#"\"{name}\" is served as it is"#));
    let are = ["dice", "lost", "fine"].iter().all(|name| is_named(name) == named.contains(name));
    Ok(are.then_some(()))
}
