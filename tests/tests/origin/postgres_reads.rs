//! Reads: rows, order, limits, and what `check` reports.

use corral_host::origin::{BODY_LIMIT, Origin, OriginOptions, PostgresOrigin, connect};

use crate::kit::{AMPLE, code, json, many, names, one, text, texts, value, write};
use crate::server::{Server, connection, run};

#[tokio::test]
async fn one_row_none_and_several() {
    let server = Server::shared().await;
    let origin = origin(&server.url());
    let sql = "SELECT n FROM generate_series(1, $1) AS n ORDER BY n DESC";
    let read = one(sql, &["int4"]);
    assert!(origin.load(&read, &[value("int4", "0")], &[], AMPLE).await.unwrap().body.is_none());
    // The first of several rows, in the statement's order.
    assert_eq!(text(&origin, &read, &[value("int4", "3")]).await, r#"{"n":3}"#);

    let read = many(sql, &["int4"]);
    assert_eq!(text(&origin, &read, &[value("int4", "0")]).await, "[]");
    assert_eq!(text(&origin, &read, &[value("int4", "3")]).await, r#"[{"n":3},{"n":2},{"n":1}]"#);
}

#[tokio::test]
async fn a_row_of_nothing_but_nulls_is_a_row() {
    let server = Server::shared().await;
    let origin = origin(&server.url());
    let read = one("SELECT NULL::int4 AS a, NULL::text AS b", &[]);
    assert_eq!(text(&origin, &read, &[]).await, r#"{"a":null,"b":null}"#);
}

#[tokio::test]
async fn statements_are_taken_as_they_come() {
    let server = Server::shared().await;
    let origin = origin(&server.url());
    let statements = [
        ("SELECT 1 AS a -- as a comment", r#"{"a":1}"#),
        ("WITH t AS (SELECT 1 AS a) SELECT * FROM t", r#"{"a":1}"#),
        ("VALUES (1, 'x')", r#"{"column1":1,"column2":"x"}"#),
        ("SELECT 1 AS _corral, 2 AS b", r#"{"_corral":1,"b":2}"#),
        ("SELECT 1 AS a UNION ALL SELECT 2 ORDER BY a DESC", r#"{"a":2}"#),
        (r#"SELECT 1 AS "ü 🦀 ""quoted""""#, r#"{"ü 🦀 \"quoted\"":1}"#),
    ];
    for (sql, expected) in statements {
        assert_eq!(text(&origin, &one(sql, &[]), &[]).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_refused_and_the_next_read_is_answered() {
    let server = Server::shared().await;
    let origin = single(&server.url());
    // The whole answer would be 100 GB.
    let read = many("SELECT repeat('x', 100000) AS x FROM generate_series(1, 1000000)", &[]);
    assert_eq!(code(&origin.load(&read, &[], &[], AMPLE).await.unwrap_err()), "too large");
    let read = one("SELECT repeat('x', $1) AS x", &["int4"]);
    let too_much = value("int4", &BODY_LIMIT.to_string());
    assert_eq!(code(&origin.load(&read, &[too_much], &[], AMPLE).await.unwrap_err()), "too large");
    assert_eq!(text(&origin, &one("SELECT 1 AS a", &[]), &[]).await, r#"{"a":1}"#);
}

#[tokio::test]
async fn a_read_can_not_write() {
    let server = Server::shared().await;
    let url = server.schema("readonly").await;
    let origin = origin(&url);
    run(&mut connection(&url).await, "CREATE SEQUENCE s").await;
    let sql = "SELECT nextval('s') AS n";
    // The same for a deadline other than the session's, for which a transaction is opened.
    for deadline in [OriginOptions::default().deadline, AMPLE] {
        let error = origin.load(&one(sql, &[]), &[], &[], deadline).await.unwrap_err();
        assert_eq!(code(&error), "25006", "{error}");
    }
    let written = origin.execute(&write(sql, &[]), &[], &names(&["n"]), AMPLE).await.unwrap();
    assert_eq!(written.returned, [texts(&["1"])], "as a write, the same statement runs");
}

#[tokio::test]
async fn errors_of_the_statement_keep_their_code_and_the_connection_its_use() {
    let server = Server::shared().await;
    let origin = single(&server.url());
    let errors = [
        ("SELEC 1", "42601"),
        ("SELECT * FROM nowhere", "42P01"),
        ("SELECT 1/0 AS a", "22012"),
        ("SELECT 1; SELECT 2", "42601"),
        ("SELECT 'x'::int4 AS a", "22P02"),
    ];
    let pid = one("SELECT pg_backend_pid() AS pid", &[]);
    let before = json(&origin, &pid, &[]).await;
    for (sql, expected) in errors {
        for deadline in [OriginOptions::default().deadline, AMPLE] {
            let error = origin.load(&one(sql, &[]), &[], &[], deadline).await.unwrap_err();
            assert_eq!(code(&error), expected, "{sql}: {error}");
        }
    }
    assert_eq!(json(&origin, &pid, &[]).await, before);
}

#[tokio::test]
async fn too_few_or_too_many_values_are_an_error_and_not_a_hang() {
    let server = Server::shared().await;
    let origin = single(&server.url());
    let read = one("SELECT $1::int4 AS a, $2::int4 AS b", &["int4"]);
    assert!(origin.load(&read, &[value("int4", "1")], &[], AMPLE).await.is_err());
    assert_eq!(text(&origin, &one("SELECT 1 AS a", &[]), &[]).await, r#"{"a":1}"#);
}

#[tokio::test]
async fn a_statement_that_fits_its_declaration_is_prepared_without_complaint() {
    let server = Server::shared().await;
    let (origin, _) = shop(&server, "fits").await;
    let fitting: [(&str, &[&str]); 9] = [
        ("SELECT id, name FROM items WHERE id = $1", &["int8"]),
        ("SELECT id FROM items WHERE id = $1", &["int4"]),
        ("SELECT id FROM items WHERE price > $1", &["int8"]),
        ("SELECT id FROM items WHERE id = ANY($1)", &["int8[]"]),
        ("SELECT id FROM items WHERE name = $1", &["text"]),
        ("SELECT id FROM items WHERE made >= $1", &["date"]),
        ("SELECT id FROM items WHERE color = $1::color", &["text"]),
        ("SELECT id FROM items WHERE $1 IS NULL OR name = $1", &["text"]),
        ("SELECT id FROM items LIMIT $1", &["int4"]),
    ];
    for (sql, params) in fitting {
        let prepared = origin.prepare_read(&many(sql, params)).await.unwrap();
        assert_eq!(prepared.complaints, Vec::<String>::new(), "{sql}");
        assert_eq!(prepared.columns[0].name, "id");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_a_complaint_that_names_the_parameter() {
    let server = Server::shared().await;
    let (origin, _) = shop(&server, "misfits").await;
    let misfits: [(&str, &[&str], &str); 9] = [
        (
            "SELECT id FROM items WHERE id = $1",
            &["text"],
            "$1 is declared text, and the statement asks for int8",
        ),
        ("SELECT id FROM items WHERE id = $1", &["numeric"], "$1 is declared numeric"),
        (
            "SELECT id FROM items WHERE name = $1 AND code = $2",
            &["text", "text"],
            "$2 is declared text, and the statement asks for uuid",
        ),
        (
            "SELECT id FROM items WHERE id = $1",
            &[],
            "0 parameters are declared, and the statement uses 1",
        ),
        (
            "SELECT id FROM items WHERE id = $1",
            &["int8", "int8"],
            "2 parameters are declared, and the statement uses 1",
        ),
        ("SELECT id FROM items WHERE color = $1", &["text"], "operator does not exist: "),
        ("SELECT id, name, id FROM items", &[], "the column `id` is answered more than once"),
        ("DELETE FROM items RETURNING id", &[], "as a source of rows, the statement is refused"),
        ("DELETE FROM items", &[], "returns no columns"),
    ];
    for (sql, params, expected) in misfits {
        let prepared = origin.prepare_read(&many(sql, params)).await.unwrap();
        let complaints = &prepared.complaints;
        assert!(complaints.iter().any(|c| c.contains(expected)), "{sql}: {complaints:?}");
    }
}

#[tokio::test]
async fn a_wrong_statement_is_an_error_of_preparing() {
    let server = Server::shared().await;
    let (origin, mut admin) = shop(&server, "wrong").await;
    let error = origin.prepare_read(&many("SELECT nothing FROM items", &[])).await.unwrap_err();
    assert_eq!(code(&error), "42703");

    let prepared = origin.prepare_write(&write("DELETE FROM items WHERE id = $1", &["int8"])).await;
    assert_eq!(prepared.unwrap().complaints, Vec::<String>::new());
    let sql = "UPDATE items SET name = $2 WHERE id = $1 RETURNING id, name";
    let prepared = origin.prepare_write(&write(sql, &["int8", "text"])).await.unwrap();
    assert_eq!((prepared.columns.len(), prepared.complaints.len()), (2, 0));
    let prepared = origin.prepare_write(&write(sql, &["int8", "int8"])).await.unwrap();
    assert!(prepared.complaints[0].starts_with("$2 is declared int8"), "{prepared:?}");
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM items").fetch_one(&mut admin).await.unwrap();
    assert_eq!(left, 1, "preparing runs nothing");
}

#[test]
fn a_wrong_url_is_refused_without_repeating_its_password() {
    let options = OriginOptions::default();
    let wrong = [
        ("mysql://app:hunter2@host/db", "`mysql` is no kind of origin"),
        ("app:hunter2@host", "`app` is no kind of origin"),
        ("hunter2@host/db", "has no scheme"),
        ("", "has no scheme"),
        ("postgres://app:hunter2@host:99999/db", "the origin's postgres URL is wrong"),
        ("postgres://app:hunter2@host/db?sslmode=perhaps", "sslmode"),
        ("sqlite::memory:", "names no file"),
        ("sqlite:", "names no file"),
    ];
    for (url, expected) in wrong {
        let error = connect(url, &options).err().expect(url).to_string();
        assert!(!error.contains("hunter2"), "{error}");
        assert!(error.replace("ssl_mode", "sslmode").contains(expected), "{url}: {error}");
    }
}

fn origin(url: &str) -> PostgresOrigin {
    PostgresOrigin::connect(url, &OriginOptions::default()).unwrap()
}

fn single(url: &str) -> PostgresOrigin {
    let options = OriginOptions { max_loads: 1, max_writes: 1, ..OriginOptions::default() };
    PostgresOrigin::connect(url, &options).unwrap()
}

async fn shop(server: &Server, schema: &str) -> (PostgresOrigin, sqlx::PgConnection) {
    let url = server.schema(schema).await;
    let mut admin = connection(&url).await;
    let tables = "CREATE TYPE color AS ENUM ('red', 'blue');
        CREATE TABLE items (id int8 PRIMARY KEY, name text, code uuid, color color,
                            price numeric, made timestamptz);
        INSERT INTO items (id, name) VALUES (1, 'one')";
    run(&mut admin, tables).await;
    (origin(&url), admin)
}
