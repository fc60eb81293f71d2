//! The table of types over Postgres.

use corral_host::origin::{ColumnType, Origin, OriginOptions, PostgresOrigin};
use sqlx::{AssertSqlSafe, PgConnection};

use super::draw::{Draw, LABELS, Source};
use super::{Case, FEW, Held, MANY, compare};
use crate::kit::{AMPLE, many, names, texts, write};
use crate::server::{Server, connection, run};

const CASES: [Case; 32] = [
    case("bool", "bool", Draw::Bool),
    case("int2", "int2", Draw::Integer(16)),
    case("int4", "int4", Draw::Integer(32)),
    case("int8", "int8", Draw::Integer(64)),
    case("float4", "float4", Draw::Float4),
    case("float8", "float8", Draw::Float8),
    case("numeric", "numeric", Draw::Numeric),
    case("numeric(10, 2)", "numeric", Draw::Money),
    case("text", "text", Draw::Text(12)),
    case("varchar(12)", "text", Draw::Text(12)),
    case("char(4)", "text", Draw::Text(4)),
    case("name", "text", Draw::Text(12)),
    case("uuid", "uuid", Draw::Uuid),
    case("date", "date", Draw::Date),
    case("timestamp", "timestamp", Draw::Timestamp),
    case("timestamptz", "timestamptz", Draw::TimestampTz),
    case("jsonb", "jsonb", Draw::Document),
    case("bytea", "bytea", Draw::Bytes),
    case("color", "text", Draw::Label),
    case("amount", "numeric", Draw::Money),
    case("word", "text", Draw::Text(12)),
    case("bool[]", "bool[]", Draw::List(&Draw::Bool)),
    case("int2[]", "int2[]", Draw::List(&Draw::Integer(16))),
    case("int8[]", "int8[]", Draw::List(&Draw::Integer(64))),
    case("float4[]", "float4[]", Draw::List(&Draw::Float4)),
    case("float8[]", "float8[]", Draw::List(&Draw::Float8)),
    case("numeric[]", "numeric[]", Draw::List(&Draw::Numeric)),
    case("text[]", "text[]", Draw::List(&Draw::Text(4))),
    case("uuid[]", "uuid[]", Draw::List(&Draw::Uuid)),
    case("date[]", "date[]", Draw::List(&Draw::Date)),
    case("timestamptz[]", "timestamptz[]", Draw::List(&Draw::TimestampTz)),
    case("color[]", "text[]", Draw::List(&Draw::Label)),
];

#[tokio::test]
async fn equal_values_have_one_text_from_every_source() {
    table("few", FEW).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn equal_values_have_one_text_from_every_source_ten_thousand_times() {
    table("many", MANY).await;
}

async fn table(schema: &str, count: usize) {
    let server = Server::shared().await;
    let url = server.schema(&format!("types_{schema}")).await;
    let mut admin = connection(&url).await;
    let labels = LABELS.map(|label| format!("'{label}'")).join(", ");
    run(&mut admin, &format!("CREATE TYPE color AS ENUM ({labels})")).await;
    run(&mut admin, "CREATE DOMAIN amount AS numeric(12, 4); CREATE DOMAIN word AS text").await;
    let origin = PostgresOrigin::connect(&url, &OriginOptions::default()).unwrap();
    let mut source = Source::new();
    for case in &CASES {
        let spellings = source.spellings(case.draw, count);
        let held = held(&mut admin, case, spellings).await;
        let compared = compare(&origin, case, &held).await;
        println!("{:16}{compared:?}", case.column);
        assert!(compared.distinct > 1 && compared.arguments > 0, "{compared:?}");
    }
}

const fn case(column: &'static str, param: &'static str, draw: Draw) -> Case {
    Case { column, param, draw }
}

/// Puts the values into a table, and asks the database which ones are equal.
async fn held(admin: &mut PgConnection, case: &Case, spellings: Vec<String>) -> Vec<Held> {
    let column = case.column;
    let made = match column.strip_suffix("[]") {
        Some(item) => format!(
            "ARRAY(SELECT item::{item} FROM jsonb_array_elements_text(s::jsonb)
                   WITH ORDINALITY AS items (item, place) ORDER BY place)"
        ),
        None => format!("s::{column}"),
    };
    run(
        admin,
        &format!(
            "DROP TABLE IF EXISTS v, w; CREATE TABLE v (n int8 PRIMARY KEY, v {column});
             CREATE TABLE w (v {column})"
        ),
    )
    .await;
    let insert =
        format!("INSERT INTO v SELECT n, {made} FROM unnest($1) WITH ORDINALITY AS u (s, n)");
    sqlx::query(AssertSqlSafe(insert)).bind(&spellings).execute(&mut *admin).await.unwrap();
    let classes =
        "SELECT class FROM (SELECT n, dense_rank() OVER (ORDER BY v) AS class FROM v) AS c
                   ORDER BY n";
    let classes: Vec<i64> =
        sqlx::query_scalar(AssertSqlSafe(classes)).fetch_all(admin).await.unwrap();
    let held = |(spelling, class)| Held { spelling, class };
    spellings.into_iter().zip(classes).map(held).collect()
}

#[tokio::test]
async fn one_number_has_one_text_in_every_numeric_type() {
    let server = Server::shared().await;
    let origin = PostgresOrigin::connect(&server.url(), &OriginOptions::default()).unwrap();
    for number in ["10", "0", "-7", "32767"] {
        let types = ["int2", "int4", "int8", "float4", "float8", "numeric", "numeric(10, 2)"];
        let columns: Vec<_> = types.iter().map(|ty| format!("({number})::{ty}")).collect();
        let columns: Vec<_> =
            columns.iter().enumerate().map(|(at, column)| format!("{column} AS c{at}")).collect();
        let asked: Vec<_> = (0..types.len()).map(|at| format!("c{at}")).collect();
        let read = many(&format!("SELECT {}", columns.join(", ")), &[]);
        let fetched = origin.load(&read, &[], &asked, AMPLE).await.unwrap();
        assert_eq!(fetched.rows, [texts(&[number; 7])]);
    }
}

#[tokio::test]
async fn lists_of_other_shapes_have_texts_of_their_own() {
    let server = Server::shared().await;
    let origin = PostgresOrigin::connect(&server.url(), &OriginOptions::default()).unwrap();
    let shapes = [
        ("'{}'::int8[]", "[]"),
        ("'{1,2}'::int8[]", "[1,2]"),
        ("'{{1,2}}'::int8[]", "[[1,2]]"),
        ("'{{1},{2}}'::int8[]", "[[1],[2]]"),
        ("'[0:1]={1,2}'::int8[]", "[0:1]=[1,2]"),
        ("'[2:2][0:1]={{1,NULL}}'::int8[]", "[2:2][0:1]=[[1,null]]"),
    ];
    for (list, text) in shapes {
        let read = many(&format!("SELECT {list} AS v"), &[]);
        let fetched = origin.load(&read, &[], &names(&["v"]), AMPLE).await.unwrap();
        assert_eq!(fetched.rows, [texts(&[text])], "{list}");
    }
}

#[tokio::test]
async fn a_type_whose_equal_values_are_written_in_several_ways_gives_no_text() {
    let server = Server::shared().await;
    let url = server.schema("opaque").await;
    let mut admin = connection(&url).await;
    let made = "CREATE EXTENSION citext;
        CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        CREATE TABLE t (id int8, v text COLLATE loose); INSERT INTO t VALUES (1, 'a')";
    run(&mut admin, made).await;
    let origin = PostgresOrigin::connect(&url, &OriginOptions::default()).unwrap();
    let opaque = [
        ("'a'::citext", "citext"),
        ("ARRAY['a'::citext]", "citext[]"),
        ("'{\"a\": 1}'::json", "json"),
        ("'1 day'::interval", "interval"),
        ("'[1,2)'::int4range", "int4range"),
        ("'127.0.0.1'::inet", "inet"),
        ("'12:00'::time", "time"),
        ("ROW(1, 'x')", "record"),
        ("'postgres=r/postgres'::aclitem", "aclitem"),
    ];
    for (value, ty) in opaque {
        let read = many(&format!("SELECT 1::int8 AS id, {value} AS v"), &[]);
        let prepared = origin.prepare_read(&read).await.unwrap();
        assert_eq!(prepared.columns[1].ty, ColumnType::Opaque(ty.to_owned()), "{value}");
        let fetched = origin.load(&read, &[], &names(&["id", "v"]), AMPLE).await.unwrap();
        assert!(fetched.missing.contains(&"v".to_owned()), "{value}: {fetched:?}");
        assert!(fetched.body.is_some(), "{value}");
    }
    let loose = ColumnType::Opaque("text collate loose".to_owned());
    let read = origin.prepare_read(&many("SELECT id, v FROM t", &[])).await.unwrap();
    assert_eq!(read.columns[1].ty, loose);
    let update =
        write("UPDATE t SET id = 2 RETURNING id, v, 'postgres=r/postgres'::aclitem AS c", &[]);
    let update = origin.prepare_write(&update).await.unwrap();
    assert_eq!(update.columns[1].ty, loose);
    assert!(update.complaints[0].contains("it returns `c`, of a type without a binary form"));
}
