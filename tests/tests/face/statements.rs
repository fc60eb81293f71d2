//! Statements that `corral check` refuses and a host serves anyway: the host starts, and reports
//! them.

use corral_tests::servers::{Host, Postgres, eventually};
use hyper::StatusCode;

use super::common::{SOON, get};

/// A statement that the database rejects is reported at its first read.
const LOST: &str = "[entity.lost]\nread = \"SELECT n FROM nowhere\"\nttl = \"1m\"\n";
const FINE: &str = "[entity.fine]\nread = \"SELECT 1 AS n\"\nttl = \"1m\"\n";
const MORE: &str = "[entity.more]\nread = \"SELECT 2 AS n\"\nttl = \"1m\"\n";
const DICE: &str = "[entity.dice]\nread = \"SELECT random() AS n\"\nttl = \"1m\"\n";

#[tokio::test]
async fn a_statement_that_check_refuses_is_served_and_the_log_and_readyz_say_so() {
    let postgres = Postgres::start().await.unwrap();
    let config = |dice: &str| format!("[origin]\nurl = \"{}\"\n{FINE}{LOST}{dice}", postgres.url());
    let host = Host::start(&config(DICE)).await.unwrap();
    assert_eq!(get(&host, "/read/dice").await.status, StatusCode::OK);
    eventually("it is named", SOON, || are_named(&host, &["dice"])).await.unwrap();
    let log = host.log();
    assert!(log.contains("random, which answers each call something else"), "{log}");
    assert_eq!(thrown(&host, "dice").await, 3, "each reader has a load of its own");
    let is_hit = async || Ok(get(&host, "/read/fine").await.is_hit().then_some(()));
    eventually("others share an answer", SOON, is_hit).await.unwrap();
    // Another configuration with the same entity.
    let more = format!("{DICE}{MORE}");
    host.configure(&config(&more)).unwrap();
    host.hup().unwrap();
    eventually("there is one more", SOON, || async {
        Ok((get(&host, "/read/more").await.status == StatusCode::OK).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(thrown(&host, "dice").await, 3, "also after a reload");
    host.configure(&config("")).unwrap();
    host.hup().unwrap();
    eventually("it is named no more", SOON, || are_named(&host, &[])).await.unwrap();
}

/// How many of three reads are not hits.
async fn thrown(host: &Host, entity: &str) -> usize {
    let mut thrown = 0;
    for _ in 0..3 {
        thrown += usize::from(!get(host, &format!("/read/{entity}")).await.is_hit());
    }
    thrown
}

/// Whether `/readyz` names exactly these entities.
async fn are_named(host: &Host, named: &[&str]) -> anyhow::Result<Option<()>> {
    let ready = host.get("/readyz").await?.json()?;
    let reasons = ready["reasons"].to_string();
    let is_named =
        |name: &str| reasons.contains(&format!(r#"\"{name}\" is served past the cache"#));
    let are = ["dice", "lost", "fine"].iter().all(|name| is_named(name) == named.contains(name));
    Ok(are.then_some(()))
}
