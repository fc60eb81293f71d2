use serde_json::json;

use super::*;

#[test]
fn every_type_is_known_by_the_name_it_is_shown_by_and_by_its_sql_aliases() {
    let names = [
        ("bool", "boolean"),
        ("int2", "smallint"),
        ("int4", "integer"),
        ("int8", "BIGINT"),
        ("float4", "real"),
        ("float8", "double  precision"),
        ("numeric", "decimal"),
        ("text", "character varying"),
        ("timestamp", "timestamp without time zone"),
        ("timestamptz", "timestamp with time zone"),
        ("uuid", "UUID"),
        ("int8[]", "bigint[]"),
        ("text[]", "varchar[]"),
    ];
    for (name, alias) in names {
        let ty: ParamType = name.parse().unwrap();
        assert_eq!(ty.to_string(), name);
        assert_eq!(alias.parse(), Ok(ty));
    }
}

#[test]
fn an_unknown_type_is_answered_with_the_known_ones() {
    for name in ["int9", "", "int8[][]", "jsonb[]", "[]"] {
        let error = name.parse::<ParamType>().unwrap_err().to_string();
        assert!(error.contains("timestamptz") && error.contains("int8[]"), "{error}");
    }
}

#[test]
fn spellings_of_one_value_have_one_canonical_text() {
    let spellings: [(&str, &[&str], &str); 19] = [
        ("int8", &["42", "042", "+42", " 42 ", "0000000000000000000000042"], "42"),
        ("int8", &["0", "-0", "+0"], "0"),
        ("int8", &["-9223372036854775808"], "-9223372036854775808"),
        ("bool", &["true", "T", "yes", "on", "1"], "true"),
        ("bool", &["false", "f", "No", "off", "0"], "false"),
        ("numeric", &["1", "1.0", "1.00", "+01", "1e0", "10e-1", "0.1E1"], "1"),
        ("numeric", &["0", "-0", "0.000", "0e99", ".0"], "0"),
        ("numeric", &["-12.340", "-1.234e1", "-1234e-2"], "-12.34"),
        ("numeric", &["1e3", "1000", "1000."], "1000"),
        ("numeric", &["0.001", "1e-3", ".00100"], "0.001"),
        ("float8", &["0", "-0", "0.0", "-0e5"], "0"),
        ("float8", &["10", "10.0", "1e1"], "10"),
        ("float8", &["1e21"], "1000000000000000000000"),
        ("float8", &["0.1", "1e-1", ".1", "0.1000000000000000055"], "0.1"),
        ("float4", &["0.1", "0.10000000149"], "0.1"),
        (
            "uuid",
            &[
                "6F1C9A52-0D5E-4F5B-8A3E-2B7F6F0C1D2E",
                "6f1c9a520d5e4f5b8a3e2b7f6f0c1d2e",
                "{6f1c9a52-0d5e-4f5b-8a3e-2b7f6f0c1d2e}",
            ],
            "6f1c9a52-0d5e-4f5b-8a3e-2b7f6f0c1d2e",
        ),
        ("bytea", &["\\xDEad", "\\Xdead"], "\\xdead"),
        ("date", &["2024-05-01", "2024-5-1"], "2024-05-01"),
        (
            "timestamp",
            &["2024-05-01T12:00:00", "2024-05-01 12:00", "2024-05-01t12:00:00.000000000"],
            "2024-05-01T12:00:00.000000",
        ),
    ];
    for (ty, spellings, canonical) in spellings {
        for spelling in spellings {
            assert_eq!(text(ty, spelling).as_deref(), Ok(canonical), "{ty} {spelling}");
        }
    }
}

#[test]
fn one_moment_in_several_zones_has_one_canonical_text() {
    let canonical = "2024-05-01T12:00:00.250000Z";
    let spellings = [
        "2024-05-01T12:00:00.25Z",
        "2024-05-01t12:00:00.25z",
        "2024-05-01 14:00:00.250+02",
        "2024-05-01T14:00:00.25+0200",
        "2024-05-01T06:30:00.250000-05:30",
    ];
    for spelling in spellings {
        assert_eq!(text("timestamptz", spelling).as_deref(), Ok(canonical), "{spelling}");
    }
}

#[test]
fn documents_differing_in_order_space_and_spelling_are_one() {
    let canonical = r#"{"a":[1,2.5,null,true],"b":{"x":"é\n"}}"#;
    let spellings = [
        r#"{"a":[1,2.5,null,true],"b":{"x":"é\n"}}"#,
        r#" { "b" : {"x":"\u00e9\u000a"}, "a":[1.0, 25e-1 ,null,true] } "#,
    ];
    for spelling in spellings {
        assert_eq!(text("jsonb", spelling).as_deref(), Ok(canonical));
    }
}

#[test]
fn a_number_inside_a_document_keeps_all_its_digits() {
    let document = r#"{"id":123456789012345678901234567890}"#;
    assert_eq!(text("jsonb", document).as_deref(), Ok(document));
}

#[test]
fn arrays_are_written_as_json_with_each_element_canonical() {
    assert_eq!(text("int8[]", "[1, 042]"), Err(()), "JSON has no 042");
    assert_eq!(text("int8[]", "[1, \"042\", null]").as_deref(), Ok("[1,42,null]"));
    assert_eq!(text("int8[]", " [ ] ").as_deref(), Ok("[]"));
    assert_eq!(text("text[]", r#"["a","null",null,""]"#).as_deref(), Ok(r#"["a","null",null,""]"#));
    assert_eq!(
        text("numeric[]", "[12345678901234567890.10]").as_deref(),
        Ok("[12345678901234567890.1]")
    );
    assert_eq!(text("text[]", "[1]"), Err(()));
    assert_eq!(text("int8[]", "[[1]]"), Err(()));
    assert_eq!(text("int8[]", "{1,2}"), Err(()));
}

#[test]
fn what_is_no_value_of_the_type_is_refused() {
    let refused = [
        ("int2", "32768"),
        ("int4", "-2147483649"),
        ("int8", "9223372036854775808"),
        ("int8", "1.0"),
        ("int8", ""),
        ("int8", "4 2"),
        ("bool", "maybe"),
        ("float8", "NaN"),
        ("float8", "inf"),
        ("float8", "1e400"),
        ("float8", "1e-400"),
        ("float4", "1e39"),
        ("float4", "1e-60"),
        ("numeric", "NaN"),
        ("numeric", "1e1001"),
        ("numeric", "1e-1001"),
        ("numeric", "1e99999999999"),
        ("numeric", "."),
        ("numeric", "1,5"),
        ("text", "a\0b"),
        ("jsonb", r#""\u0000""#),
        ("jsonb", "{'a':1}"),
        ("jsonb", "1 2"),
        ("uuid", "6f1c9a52"),
        ("date", "2024-02-30"),
        ("date", "+12024-01-01"),
        ("date", "infinity"),
        ("timestamp", "2024-05-01T12:00:00Z"),
        ("timestamp", "2024-05-01T12:00:00.1234567"),
        ("timestamp", "2024-12-31T23:59:60"),
        ("timestamptz", "2024-05-01T12:00:00"),
        ("timestamptz", "2024-05-01T12:00:00 02:00"),
        ("timestamptz", "9999-12-31T23:59:59-01:00"),
        ("bytea", "dead"),
        ("bytea", "\\xabc"),
    ];
    for (ty, spelling) in refused {
        assert_eq!(text(ty, spelling), Err(()), "{ty} {spelling:?}");
    }
}

#[test]
fn null_is_no_text_and_json_null_is_sql_null_for_every_type() {
    for ty in ["int8", "text", "jsonb", "int8[]"] {
        let ty: ParamType = ty.parse().unwrap();
        assert_eq!(Value::from_text(ty, None).unwrap(), Value::null(ty));
        assert_eq!(Value::from_json(ty, &json!(null)).unwrap(), Value::null(ty));
    }
    assert_eq!(text("jsonb", "null").as_deref(), Ok("null"), "the document null is no SQL null");
}

#[test]
fn numbers_in_a_body_may_be_numbers_or_strings_where_nothing_is_lost() {
    let same = [
        ("int8", json!(42), json!("042")),
        ("int8", json!(42.0), json!("42")),
        ("numeric", json!(12.5), json!("12.50")),
        ("numeric", json!(18_446_744_073_709_551_615_u64), json!("18446744073709551615")),
        ("float8", json!(1e300), json!("1e300")),
        ("float4", json!(0.1), json!("0.1")),
        ("bool", json!(true), json!("yes")),
        ("int8[]", json!([1, "2", null]), json!("[1,2,null]")),
        ("text", json!("42"), json!("42")),
        ("jsonb", json!({"b": 1, "a": "2"}), json!({"a": "2", "b": 1})),
    ];
    for (ty, left, right) in same {
        let ty = ty.parse().unwrap();
        let left = Value::from_json(ty, &left).unwrap();
        assert_eq!(left, Value::from_json(ty, &right).unwrap());
        assert_eq!(left, Value::from_text(ty, left.canonical()).unwrap());
    }
}

#[test]
fn a_body_that_would_lose_or_change_something_is_refused() {
    let refused = [
        ("int8", json!(9_007_199_254_740_993.5)),
        ("int8", json!(1.5)),
        ("int8", json!(true)),
        ("numeric", json!(1e30)),
        ("numeric", json!(0.123_456_789_012_345_67)),
        ("text", json!(42)),
        ("text", json!(["a"])),
        ("text[]", json!("a")),
        ("text[]", json!([1])),
        ("text[]", json!({"a": 1})),
        ("uuid", json!(1)),
    ];
    for (ty, value) in refused {
        assert!(Value::from_json(ty.parse().unwrap(), &value).is_err(), "{ty} {value}");
    }
}

#[test]
fn an_error_says_what_would_be_right_and_repeats_little() {
    let long = "x".repeat(10_000);
    let error = Value::from_text(ParamType::Int8, Some(&long)).unwrap_err().to_string();
    assert!(error.contains("write a whole number from -9223372036854775808"), "{error}");
    assert!(error.len() < 200, "{error}");

    let error = Value::from_text(ParamType::Int8, Some("a\nb\u{1b}")).unwrap_err().to_string();
    assert!(error.contains(r"`a\nb\u{1b}`"), "{error}");

    let array = ParamType::Array(Element::Int8);
    let error = Value::from_json(array, &json!([1, "x"])).unwrap_err().to_string();
    assert!(error.starts_with("element 2: `x` is no int8"), "{error}");
}

#[test]
fn a_document_nested_without_end_is_refused() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    assert_eq!(text("jsonb", &deep), Err(()));
    let nested = "[".repeat(100) + &"]".repeat(100);
    assert_eq!(text("jsonb", &nested).as_deref(), Ok(nested.as_str()));
}

fn text(ty: &str, text: &str) -> Result<String, ()> {
    let value = Value::from_text(ty.parse().unwrap(), Some(text)).map_err(|_| ())?;
    Ok(value.canonical().unwrap().to_owned())
}
