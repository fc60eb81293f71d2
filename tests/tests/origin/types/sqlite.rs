//! The table of types over SQLite, whose values have storage classes and whose columns have
//! affinities.

use corral_host::origin::{ColumnType, Origin as _, OriginOptions};
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::draw::{Draw, Source};
use super::{Case, FEW, Held, MANY, compare};
use crate::kit::{AMPLE, many, names, one, texts, value};
use crate::sqlite::Shop;

const CASES: [Case; 8] = [
    case("INTEGER", "int8", Draw::Integer(64)),
    case("REAL", "float8", Draw::Float8),
    case("NUMERIC", "numeric", Draw::Numeric),
    case("BOOLEAN", "bool", Draw::Bool),
    case("VARCHAR(12)", "text", Draw::Text(12)),
    case("BLOB", "bytea", Draw::Bytes),
    case("DATE", "date", Draw::Date),
    case("", "text", Draw::Text(12)),
];

#[tokio::test]
async fn equal_values_have_one_text_from_every_source() {
    table(FEW).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn equal_values_have_one_text_from_every_source_ten_thousand_times() {
    table(MANY).await;
}

async fn table(count: usize) {
    let mut shop = Shop::with(OriginOptions::default()).await;
    let mut source = Source::new();
    for case in &CASES {
        let spellings = source.spellings(case.draw, count);
        let held = held(shop.other(), case, spellings).await;
        let compared = compare(&*shop.origin, case, &held).await;
        println!("{:16}{compared:?}", case.column);
        assert!(compared.distinct > 1 && compared.arguments > 0, "{compared:?}");
    }
}

const fn case(column: &'static str, param: &'static str, draw: Draw) -> Case {
    Case { column, param, draw }
}

async fn held(other: &mut SqliteConnection, case: &Case, spellings: Vec<String>) -> Vec<Held> {
    let column = case.column;
    let tables = format!(
        "DROP TABLE IF EXISTS v; DROP TABLE IF EXISTS w;
         CREATE TABLE v (n INTEGER PRIMARY KEY, v {column}); CREATE TABLE w (v {column})"
    );
    sqlx::raw_sql(AssertSqlSafe(tables)).execute(&mut *other).await.unwrap();
    for (chunk, spellings) in spellings.chunks(500).enumerate() {
        let row = |(at, spelling): (usize, &String)| {
            format!("({}, {})", chunk * 500 + at + 1, literal(case.draw, spelling))
        };
        let rows: Vec<_> = spellings.iter().enumerate().map(row).collect();
        let insert = format!("INSERT INTO v VALUES {}", rows.join(", "));
        sqlx::raw_sql(AssertSqlSafe(insert)).execute(&mut *other).await.unwrap();
    }
    let classes = "SELECT class FROM (SELECT n, dense_rank() OVER (ORDER BY v) AS class FROM v)
                   ORDER BY n";
    let classes: Vec<i64> = sqlx::query_scalar(classes).fetch_all(other).await.unwrap();
    let held = |(spelling, class)| Held { spelling, class };
    spellings.into_iter().zip(classes).map(held).collect()
}

/// A spelling in SQL.
fn literal(draw: Draw, spelling: &str) -> String {
    match draw {
        Draw::Bool => u8::from(spelling == "true").to_string(),
        Draw::Bytes => format!("x'{}'", spelling.trim_start_matches("\\x")),
        Draw::Integer(_) | Draw::Float4 | Draw::Float8 | Draw::Numeric | Draw::Money => {
            match spelling {
                "NaN" => "0".to_owned(),
                "Infinity" => "9e999".to_owned(),
                "-Infinity" => "-9e999".to_owned(),
                number => number.to_owned(),
            }
        }
        Draw::Text(_)
        | Draw::Uuid
        | Draw::Date
        | Draw::Timestamp
        | Draw::TimestampTz
        | Draw::Document
        | Draw::Label
        | Draw::List(_) => format!("'{}'", spelling.replace('\'', "''")),
    }
}

#[tokio::test]
async fn a_value_of_another_class_than_its_column_was_declared_for_gives_no_text() {
    let mut shop = Shop::new().await;
    shop.run("CREATE TABLE d (i INTEGER, b BOOLEAN, s TEXT, x BLOB)").await;
    shop.run("INSERT INTO d VALUES ('ten', 7, x'00', 'text')").await;
    let asked = names(&["i", "b", "s", "x"]);
    let fetched = shop.origin.load(&many("SELECT * FROM d", &[]), &[], &asked, AMPLE).await;
    assert_eq!(fetched.unwrap().missing, asked);
}

#[tokio::test]
async fn text_that_is_compared_without_case_or_spaces_gives_no_text() {
    let mut shop = Shop::new().await;
    shop.run(
        r#"CREATE TABLE d (id INTEGER, "a ""b" TEXT COLLATE NOCASE, c TEXT COLLATE RTRIM, j JSON)"#,
    )
    .await;
    shop.run("CREATE VIEW e AS SELECT id, c AS d FROM d; INSERT INTO d VALUES (1, 'A', 'a', '{}')")
        .await;
    let opaque = |name: &str| ColumnType::Opaque(name.to_owned());
    let prepared = shop.origin.prepare_read(&many("SELECT * FROM d", &[])).await.unwrap();
    let types: Vec<_> = prepared.columns.into_iter().skip(1).map(|column| column.ty).collect();
    let expected = [opaque("TEXT COLLATE NOCASE"), opaque("TEXT COLLATE RTRIM"), opaque("JSON")];
    assert_eq!(types, expected);
    let prepared = shop.origin.prepare_read(&many("SELECT d FROM e", &[])).await.unwrap();
    assert_eq!(prepared.columns[0].ty, opaque("TEXT COLLATE RTRIM"));
    let asked = names(&["a \"b", "c", "j"]);
    let fetched = shop.origin.load(&many("SELECT * FROM d", &[]), &[], &asked, AMPLE).await;
    assert_eq!(fetched.unwrap().missing, asked);
}

#[tokio::test]
async fn an_expression_has_the_text_of_its_value() {
    let shop = Shop::new().await;
    let read = many("SELECT 10 AS a, 10.0 AS b, '10' AS c, 1.5 AS d, x'0a' AS e", &[]);
    let prepared = shop.origin.prepare_read(&read).await.unwrap();
    assert!(prepared.columns.iter().all(|column| column.ty == ColumnType::Dynamic));
    let asked = names(&["a", "b", "c", "d", "e"]);
    let fetched = shop.origin.load(&read, &[], &asked, AMPLE).await.unwrap();
    assert_eq!(fetched.rows, [texts(&["10", "10", "10", "1.5", "\\x0a"])]);
}

#[tokio::test]
async fn a_number_that_the_file_would_round_is_refused_as_an_argument() {
    let shop = Shop::new().await;
    let read = one("SELECT $1 AS v", &["numeric"]);
    for exact in ["12.50", "0.1", "9223372036854775807", "1e22"] {
        shop.origin.load(&read, &[value("numeric", exact)], &[], AMPLE).await.unwrap();
    }
    for rounded in ["12345678901234567890123", "0.12345678901234567890"] {
        let refused = shop.origin.load(&read, &[value("numeric", rounded)], &[], AMPLE).await;
        let said = refused.unwrap_err().to_string();
        assert!(said.contains("which rounds this one"), "{said}");
    }
}
