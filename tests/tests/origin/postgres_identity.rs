//! Which database an origin leads to, and how the origin notices that it leads to another one.

use corral_host::origin::{Origin, OriginError, OriginOptions, PostgresOrigin};
use corral_tests::servers::until;
use serde_json::Value as Json;

use crate::kit::{AMPLE, commit, json, one};
use crate::proxy::Proxy;
use crate::server::{Server, run};

#[tokio::test]
async fn one_database_has_one_identity_and_another_one_on_the_same_server_another() {
    let server = Server::start().await;
    run(&mut server.admin().await, "CREATE DATABASE other").await;
    let (one, same) = (connect(&server.url()), connect(&server.url()));
    let other = connect(&database(&server, "other"));
    assert_eq!(one.last_identity(), None, "it is not connected yet");
    let identity = one.identity().await.unwrap();
    assert_eq!(one.last_identity(), Some(identity));
    assert_eq!(same.identity().await.unwrap(), identity);
    assert_eq!(identity.timeline, 1);
    assert_ne!(other.identity().await.unwrap().database, identity.database);
}

#[tokio::test]
async fn a_database_that_was_dropped_and_made_again_is_another_one() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        run(&mut admin, "CREATE DATABASE again").await;
        let origin = connect(&database(&server, "again"));
        seen.push(origin.identity().await.unwrap());
        run(&mut admin, "DROP DATABASE again WITH (FORCE)").await;
    }
    assert_ne!(seen[0], seen[1]);
}

#[tokio::test]
async fn a_standby_that_is_promoted_begins_another_timeline_and_its_connections_hear_of_it() {
    let server = Server::standby().await;
    let origin = connect(&server.url());
    let before = origin.identity().await.unwrap();
    run(&mut server.admin().await, "SELECT pg_promote()").await;
    assert_eq!(origin.last_identity(), Some(before));
    let after = origin.identity().await.unwrap();
    assert_eq!((after.database, after.timeline), (before.database, before.timeline + 1));
    assert_eq!(origin.last_identity(), Some(after));
}

#[tokio::test]
async fn a_write_says_which_database_it_is_in() {
    let server = Server::standby().await;
    let origin = connect(&server.url());
    // This connection is opened while the server is a standby, and is kept.
    origin.ping().await.unwrap();
    let error = origin.execute(&crate::kit::write("CREATE TABLE t ()", &[]), &[], &[], AMPLE).await;
    assert!(error.is_err(), "it is read-only");
    let before = origin.last_identity().unwrap();
    run(&mut server.admin().await, "SELECT pg_promote()").await;
    commit(&origin, "SELECT 1 AS a").await;
    assert_eq!(origin.last_identity().unwrap().timeline, before.timeline + 1);
}

#[tokio::test]
async fn a_connection_of_a_former_database_is_not_used_again() {
    let (old, new) = (Server::start().await, Server::standby().await);
    run(&mut new.admin().await, "SELECT pg_promote()").await;
    let name = Proxy::start(old.postgres().port()).await;
    let origin = connect(&name.url());
    let port = async || -> Json {
        json(&origin, &one("SELECT current_setting('port') AS port", &[]), &[]).await["port"]
            .clone()
    };
    let (before, known) = (port().await, origin.last_identity());
    name.point_to(new.postgres().port());
    assert_eq!(port().await, before, "its connection is kept, and the change is not noticed yet");
    // The first write opens a connection, which leads to the other server.
    commit(&origin, "SELECT 1 AS a").await;
    assert_ne!(origin.last_identity(), known);
    assert_ne!(port().await, before);
}

#[tokio::test]
async fn a_role_that_may_not_ask_reads_and_writes_and_is_told_what_it_lacks() {
    let server = Server::start().await;
    run(
        &mut server.admin().await,
        "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC; CREATE ROLE low LOGIN;
         CREATE TABLE t (id int8); GRANT ALL ON t TO low",
    )
    .await;
    let origin = connect(&server.url().replace("postgres@", "low@"));
    assert_eq!(commit(&origin, "INSERT INTO t VALUES (1)").await, 1);
    assert_eq!(json(&origin, &one("SELECT id FROM t", &[]), &[]).await["id"], 1);
    assert_eq!(origin.last_identity(), None);
    let error = origin.identity().await.unwrap_err();
    let OriginError::Rejected { code, message } = &error else { panic!("{error}") };
    assert_eq!(code, "42501");
    assert!(
        message.contains("pg_control_system") && message.contains("grant EXECUTE"),
        "{message}"
    );
    // With this right, connections that are opened from now on report the identity.
    let grant = "GRANT EXECUTE ON FUNCTION pg_control_system() TO low";
    run(&mut server.admin().await, grant).await;
    until("it says", async || origin.identity().await.is_ok()).await;
    assert!(origin.last_identity().is_some());
}

fn database(server: &Server, name: &str) -> String {
    format!("postgres://postgres@127.0.0.1:{}/{name}", server.postgres().port())
}

fn connect(url: &str) -> PostgresOrigin {
    let options = OriginOptions { deadline: AMPLE, ..OriginOptions::default() };
    PostgresOrigin::connect(url, &options).unwrap()
}
