//! What `check` reports of a statement before the statement runs.

use corral_host::origin::{
    ColumnType, Origin, OriginOptions, OutputColumn, ParamType, PostgresOrigin,
};

use crate::kit::{many, write};
use crate::server::{Server, connection, run};

async fn prepared(
    url: &str,
    sql: &str,
    params: &[&str],
) -> (Vec<OutputColumn>, Vec<String>, Vec<String>) {
    let origin = PostgresOrigin::connect(url, &OriginOptions::default()).unwrap();
    let prepared = origin.prepare_read(&many(sql, params)).await.unwrap();
    (prepared.columns, prepared.complaints, prepared.notes)
}

#[tokio::test]
async fn a_statement_that_means_something_by_its_declared_types_alone_is_well() {
    let server = Server::shared().await;
    let statements: [(&str, &[&str]); 4] = [
        ("SELECT $1->>'min' AS a", &["jsonb"]),
        ("SELECT 1 AS a WHERE $1::int8 > ($2->>'min')::int8", &["int8", "jsonb"]),
        ("SELECT $1 + $2 AS a", &["date", "int4"]),
        ("SELECT abs($1) AS a", &["int8"]),
    ];
    for (sql, params) in statements {
        let (_, complaints, _) = prepared(&server.url(), sql, params).await;
        assert_eq!(complaints, Vec::<String>::new(), "{sql}");
    }
    // A statement that is wrong stays wrong.
    let origin = PostgresOrigin::connect(&server.url(), &OriginOptions::default()).unwrap();
    origin.prepare_read(&many("SELECT $1->>'a' AS a", &["int4"])).await.unwrap_err();
}

#[tokio::test]
async fn columns_of_which_the_driver_knows_nothing_are_described_all_the_same() {
    let server = Server::shared().await;
    let url = server.schema("ranges").await;
    run(
        &mut connection(&url).await,
        "CREATE TYPE mood AS ENUM ('good'); CREATE DOMAIN age AS int4;
         CREATE TABLE t (id int8, spans int4multirange, all_spans int4multirange[], m mood, a age);
         INSERT INTO t VALUES (1, '{[1,3)}', '{}', 'good', 7)",
    )
    .await;
    let (columns, complaints, _) = prepared(&url, "SELECT * FROM t WHERE id = $1", &["int8"]).await;
    assert_eq!(complaints, Vec::<String>::new());
    let types: Vec<_> = columns.iter().map(|column| (&*column.name, column.ty.clone())).collect();
    let named = ColumnType::Named;
    let opaque = |name: &str| ColumnType::Opaque(name.to_owned());
    let expected = [
        ("id", named(ParamType::Int8)),
        ("spans", opaque("int4multirange")),
        ("all_spans", opaque("int4multirange[]")),
        ("m", named(ParamType::Text)),
        ("a", named(ParamType::Int4)),
    ];
    assert_eq!(types, expected);
    let origin = PostgresOrigin::connect(&url, &OriginOptions::default()).unwrap();
    let read = many("SELECT id, spans FROM t", &[]);
    assert_eq!(crate::kit::text(&origin, &read, &[]).await, r#"[{"id":1,"spans":"{[1,3)}"}]"#);
    let update = write("UPDATE t SET id = id RETURNING id, spans", &[]);
    let complaints = origin.prepare_write(&update).await.unwrap().complaints;
    assert!(complaints[0].contains("multirange"), "{complaints:?}");
}

#[tokio::test]
async fn a_role_without_rights_is_a_problem() {
    let server = Server::shared().await;
    let url = server.schema("rights").await;
    run(
        &mut connection(&url).await,
        "CREATE TABLE t (id int8, n int); CREATE ROLE powerless LOGIN;
         GRANT USAGE ON SCHEMA rights TO powerless; GRANT SELECT (id) ON t TO powerless",
    )
    .await;
    let url = url.replace("postgres@", "powerless@");
    let (_, complaints, _) = prepared(&url, "SELECT id FROM t WHERE id = $1", &["int8"]).await;
    assert_eq!(complaints, Vec::<String>::new());
    let (_, complaints, _) = prepared(&url, "SELECT * FROM t WHERE id = $1", &["int8"]).await;
    assert!(
        complaints.iter().any(|c| c.contains("permission denied for table t")),
        "{complaints:?}"
    );
    let origin = PostgresOrigin::connect(&url, &OriginOptions::default()).unwrap();
    for sql in ["UPDATE t SET n = 1 WHERE id = $1", "DELETE FROM t WHERE id = $1"] {
        let complaints = origin.prepare_write(&write(sql, &["int8"])).await.unwrap().complaints;
        assert!(
            complaints.iter().any(|c| c.contains("permission denied")),
            "{sql}: {complaints:?}"
        );
    }
}

#[tokio::test]
async fn chance_is_a_problem_and_the_clock_a_note() {
    let server = Server::shared().await;
    for sql in ["SELECT random() AS r", "SELECT gen_random_uuid() AS u"] {
        let (_, complaints, _) = prepared(&server.url(), sql, &[]).await;
        assert!(complaints.iter().any(|c| c.contains("readers share one answer")), "{sql}");
    }
    run(
        &mut server.admin().await,
        "CREATE FUNCTION lot() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 7; END';
         CREATE FUNCTION still() RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN RETURN 7; END'",
    )
    .await;
    let (_, complaints, _) = prepared(&server.url(), "SELECT lot() AS n", &[]).await;
    assert!(complaints.iter().any(|c| c.contains("lot, which is VOLATILE")), "{complaints:?}");
    let (_, complaints, notes) = prepared(&server.url(), "SELECT still() AS n", &[]).await;
    assert_eq!((complaints, notes), (vec![], vec![]));
    for sql in ["SELECT now() AS t", "SELECT CURRENT_DATE AS d", "SELECT clock_timestamp() AS t"] {
        let (_, complaints, notes) = prepared(&server.url(), sql, &[]).await;
        assert_eq!(complaints, Vec::<String>::new(), "{sql}");
        assert!(notes.iter().any(|note| note.contains("its lifetime alone")), "{sql}: {notes:?}");
    }
    let (_, complaints, notes) =
        prepared(&server.url(), "SELECT current_user::text AS u", &[]).await;
    assert_eq!((complaints, notes), (vec![], vec![]));
}
