//! Every type, as a column and as a parameter.

use corral_host::origin::{OriginOptions, PostgresOrigin};
use serde_json::json;

use crate::kit::{json, many, null, one, text, value};
use crate::server::Server;

#[tokio::test]
async fn every_type_is_answered_as_postgres_spells_it() {
    let server = Server::shared().await;
    let origin = origin(&server.url());
    let spellings = [
        ("true", "true"),
        ("(-32768)::int2", "-32768"),
        ("2147483647::int4", "2147483647"),
        ("9223372036854775807::int8", "9223372036854775807"),
        ("(-9223372036854775808)::int8", "-9223372036854775808"),
        ("0.1::float4", "0.1"),
        ("0.1::float8", "0.1"),
        ("1.7976931348623157e308::float8", "1.7976931348623157e+308"),
        ("'NaN'::float8", r#""NaN""#),
        ("'-Infinity'::float4", r#""-Infinity""#),
        ("12.3400::numeric(10,4)", "12.3400"),
        (
            "123456789012345678901234567890.123456789::numeric",
            "123456789012345678901234567890.123456789",
        ),
        ("'NaN'::numeric", r#""NaN""#),
        ("''::text", r#""""#),
        (r#"E'a"b\\c\n\u0001é🦀'::text"#, r#""a\"b\\c\n\u0001é🦀""#),
        ("'x'::char(3)", r#""x  ""#),
        (
            "'6F1C9A52-0D5E-4F5B-8A3E-2B7F6F0C1D2E'::uuid",
            r#""6f1c9a52-0d5e-4f5b-8a3e-2b7f6f0c1d2e""#,
        ),
        ("'2024-02-29'::date", r#""2024-02-29""#),
        ("'2024-05-01 12:00:00.123456'::timestamp", r#""2024-05-01T12:00:00.123456""#),
        ("'2024-05-01 12:00:00.5+02'::timestamptz", r#""2024-05-01T10:00:00.5+00:00""#),
        ("'infinity'::timestamptz", r#""infinity""#),
        (r#"'{"b": 1.50, "a": [null]}'::jsonb"#, r#"{"a": [null], "b": 1.50}"#),
        (r#"'{"b":1,  "a":2}'::json"#, r#"{"b":1,  "a":2}"#),
        ("'null'::jsonb", "null"),
        (r"'\xDEADBEEF'::bytea", r#""\\xdeadbeef""#),
        ("''::bytea", r#""\\x""#),
        ("ARRAY[1,NULL,3]::int8[]", "[1,null,3]"),
        ("'{}'::text[]", "[]"),
        ("ARRAY[ARRAY[1,2],ARRAY[3,4]]", "[[1,2],[3,4]]"),
        ("ARRAY[1.10,2]::numeric[]", "[1.10,2]"),
        ("NULL::int8", "null"),
        ("ROW(1,'x')", r#"{"f1":1,"f2":"x"}"#),
        ("'[1,5)'::int4range", r#""[1,5)""#),
        ("'127.0.0.1'::inet", r#""127.0.0.1""#),
    ];
    for (expression, expected) in spellings {
        let read = one(&format!("SELECT {expression} AS v"), &[]);
        assert_eq!(
            text(&origin, &read, &[]).await,
            format!(r#"{{"v":{expected}}}"#),
            "{expression}"
        );
    }
}

#[tokio::test]
async fn every_parameter_arrives_as_its_declared_type_with_its_value() {
    let server = Server::shared().await;
    let origin = origin(&server.url());
    let big = format!("{}.{}", "9".repeat(1000), "1".repeat(1000));
    let tiny = format!("-0.{}1", "0".repeat(999));
    // The type, a text, Postgres's name of the type, and Postgres's text of the value.
    let parameters = [
        ("bool", "yes", "boolean", "true"),
        ("int2", "-32768", "smallint", "-32768"),
        ("int4", "2147483647", "integer", "2147483647"),
        ("int8", "-9223372036854775808", "bigint", "-9223372036854775808"),
        ("float4", "3.4028235e38", "real", "3.4028235e+38"),
        ("float4", "1e-45", "real", "1e-45"),
        ("float8", "5e-324", "double precision", "5e-324"),
        ("float8", "-0.1", "double precision", "-0.1"),
        ("numeric", "0", "numeric", "0"),
        ("numeric", "-12.3400", "numeric", "-12.34"),
        ("numeric", "10000", "numeric", "10000"),
        ("numeric", "0.00010001", "numeric", "0.00010001"),
        (
            "numeric",
            "12345678901234567890123456789012345",
            "numeric",
            "12345678901234567890123456789012345",
        ),
        ("numeric", &big, "numeric", &big),
        ("numeric", &tiny, "numeric", &tiny),
        ("text", "", "text", ""),
        ("text", "O'Reilly \\ \"é🦀\" $1", "text", "O'Reilly \\ \"é🦀\" $1"),
        (
            "uuid",
            "6F1C9A520D5E4F5B8A3E2B7F6F0C1D2E",
            "uuid",
            "6f1c9a52-0d5e-4f5b-8a3e-2b7f6f0c1d2e",
        ),
        ("date", "0001-01-01", "date", "0001-01-01"),
        ("date", "1999-12-31", "date", "1999-12-31"),
        ("date", "9999-12-31", "date", "9999-12-31"),
        ("timestamp", "0001-01-01T00:00:00", "timestamp without time zone", "0001-01-01 00:00:00"),
        (
            "timestamp",
            "9999-12-31T23:59:59.999999",
            "timestamp without time zone",
            "9999-12-31 23:59:59.999999",
        ),
        (
            "timestamptz",
            "1969-12-31T23:59:59.000001-02:30",
            "timestamp with time zone",
            "1970-01-01 02:29:59.000001+00",
        ),
        ("json", r#"{"b":1,"a":2}"#, "json", r#"{"a":2,"b":1}"#),
        (
            "jsonb",
            r#"{"n":123456789012345678901234567890}"#,
            "jsonb",
            r#"{"n": 123456789012345678901234567890}"#,
        ),
        ("bytea", "\\x00FF", "bytea", "\\x00ff"),
        ("bytea", "\\x", "bytea", "\\x"),
        ("bool[]", "[true,null]", "boolean[]", "{t,NULL}"),
        ("int2[]", "[1]", "smallint[]", "{1}"),
        ("int4[]", "[]", "integer[]", "{}"),
        ("int8[]", "[9223372036854775807,null,-1]", "bigint[]", "{9223372036854775807,NULL,-1}"),
        ("float4[]", "[1.5]", "real[]", "{1.5}"),
        ("float8[]", "[1e300]", "double precision[]", "{1e+300}"),
        ("numeric[]", "[1.50,-3]", "numeric[]", "{1.5,-3}"),
        ("text[]", r#"["a,b",null,"null",""]"#, "text[]", r#"{"a,b",NULL,"null",""}"#),
        (
            "uuid[]",
            r#"["6f1c9a520d5e4f5b8a3e2b7f6f0c1d2e"]"#,
            "uuid[]",
            "{6f1c9a52-0d5e-4f5b-8a3e-2b7f6f0c1d2e}",
        ),
        ("date[]", r#"["2024-02-29"]"#, "date[]", "{2024-02-29}"),
        (
            "timestamp[]",
            r#"["2024-02-29T01:02:03"]"#,
            "timestamp without time zone[]",
            r#"{"2024-02-29 01:02:03"}"#,
        ),
        (
            "timestamptz[]",
            r#"["2024-02-29T01:02:03Z"]"#,
            "timestamp with time zone[]",
            r#"{"2024-02-29 01:02:03+00"}"#,
        ),
    ];
    for (ty, given, name, expected) in parameters {
        let read = one("SELECT pg_typeof($1)::text AS t, $1::text AS v", &[ty]);
        let answer = json(&origin, &read, &[value(ty, given)]).await;
        assert_eq!(answer, json!({"t": name, "v": expected}), "{ty} {given}");
        let answer = json(&origin, &read, &[null(ty)]).await;
        assert_eq!(answer, json!({"t": name, "v": null}), "{ty} null");
    }
}

#[tokio::test]
async fn one_text_with_other_parameter_types_is_another_statement() {
    let server = Server::shared().await;
    let options = OriginOptions { max_loads: 1, ..OriginOptions::default() };
    let origin = PostgresOrigin::connect(&server.url(), &options).unwrap();
    for (ty, name) in [("int8", "bigint"), ("text", "text"), ("int8", "bigint")] {
        let read = one("SELECT pg_typeof($1)::text AS t", &[ty]);
        assert_eq!(json(&origin, &read, &[value(ty, "7")]).await, json!({"t": name}));
    }
}

#[tokio::test]
async fn sessions_spell_alike_whatever_the_role_prefers() {
    let server = Server::shared().await;
    let mut admin = server.admin().await;
    let prefer = "CREATE ROLE odd LOGIN; ALTER ROLE odd SET bytea_output = 'escape'; \
                  ALTER ROLE odd SET TimeZone = 'Asia/Tokyo'; ALTER ROLE odd SET DateStyle = 'German'";
    crate::server::run(&mut admin, prefer).await;
    let origin = origin(&server.url().replace("postgres@", "odd@"));
    let sql = r"SELECT '\x01'::bytea AS b, '2024-05-01 00:00Z'::timestamptz AS t";
    let answer = json(&origin, &one(sql, &[]), &[]).await;
    assert_eq!(answer, json!({"b": "\\x01", "t": "2024-05-01T00:00:00+00:00"}));
    assert_eq!(text(&origin, &many("SELECT 1 AS a WHERE false", &[]), &[]).await, "[]");
}

fn origin(url: &str) -> PostgresOrigin {
    PostgresOrigin::connect(url, &OriginOptions::default()).unwrap()
}
