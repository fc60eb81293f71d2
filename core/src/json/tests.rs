use std::string::ToString;
use std::vec;

use proptest::prelude::*;

use super::*;

#[test]
fn every_kind_of_value_is_read() {
    let fields = object(
        r#" { "a" : [ 1 , "x" , true , { } , [ ] ] , "b" : -2.5e3 , "c" : "x" , "d" : null } "#,
    );
    let other = JsonValue::Other(r#"[ 1 , "x" , true , { } , [ ] ]"#);
    assert_eq!(
        fields.unwrap(),
        vec![
            ("a".to_string(), other),
            ("b".to_string(), JsonValue::Number("-2.5e3")),
            ("c".to_string(), JsonValue::Text("x".to_string())),
            ("d".to_string(), JsonValue::Other("null")),
        ]
    );
    assert_eq!(object(" {} ").unwrap(), vec![]);
}

#[test]
fn escapes_are_what_they_stand_for() {
    let text = value(r#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00x""#);
    assert_eq!(text, JsonValue::Text("\"\\/\u{8}\u{c}\n\r\té😀x".to_string()));
}

#[test]
fn what_is_no_json_is_told_with_its_place() {
    for (text, message) in [
        ("", "lacks `{` at byte 0"),
        ("[]", "lacks `{` at byte 0"),
        ("{\"a\":nul}", "lacks a value at byte 5"),
        ("{\"a\":[1 2]}", "lacks `,` or `]` at byte 8"),
        ("{\"a\":[1,]}", "lacks a value at byte 8"),
        ("{\"a\" 1}", "lacks `:` at byte 5"),
        ("{\"a\":1,}", "lacks a name or text in quotes at byte 7"),
        ("{\"a\":1 \"b\":2}", "lacks `,` or `}` at byte 7"),
        ("{\"a\":01}", "lacks a number without leading zeros at byte 5"),
        ("{\"a\":1.}", "lacks a digit at byte 7"),
        ("{} 1", "lacks the end at byte 3"),
        ("{\"a\nb\"", "lacks `\"` at byte 3"),
        ("{\"\\x\"", "lacks an escape at byte 3"),
        ("{\"\\u12g4\"", "lacks four hexadecimal digits at byte 4"),
        ("{\"\\ud800x\"", "lacks the second half of a pair at byte 8"),
        ("{\"\\ud800\\u0041\"", "lacks the second half of a pair at byte 14"),
        ("{\"\\udc00\"", "lacks a character at byte 8"),
    ] {
        assert_eq!(object(text).unwrap_err(), message, "{text}");
    }
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    assert_eq!(object(&deep).unwrap_err(), "nests deeper than 32 at byte 37");
}

#[test]
fn a_number_of_another_form_is_neither_whole_nor_a_fraction() {
    for text in ["-1", "-1e3", "1234567890123456"] {
        let value = value(text);
        assert_eq!((value.whole(), value.fraction()), (None, None), "{text}");
    }
    assert_eq!(value("1.0").whole(), None);
    assert_eq!(value("1e3").whole(), None);
    assert_eq!(value("4294967296").whole(), None);
}

#[test]
fn a_fraction_has_any_exponent_and_any_number_of_decimals() {
    for (text, number) in [
        ("1e-5", 0.000_01),
        ("1.5E+1", 15.0),
        ("25e-1", 2.5),
        ("0.30000000000000004", 0.3),
        ("0e999999999999", 0.0),
    ] {
        assert_eq!(value(text).fraction(), Some(number), "{text}");
    }
    assert!(value("1e-999999999999").fraction() < Some(1e-200));
    assert!(value("1e999999999999").fraction() > Some(1e200));
}

proptest! {
    #[test]
    fn it_reads_what_the_common_library_writes_and_refuses_what_that_refuses(
        text in r#"[\[\]{}:,"\\u0-9a-e.\- \n]{0,24}"#
    ) {
        let text = std::format!("{{\"a\":{text}}}");
        let theirs = serde_json::from_str::<serde_json::Map<_, serde_json::Value>>(&text);
        let ours = object(&text);
        // A number beyond 64 bits is where the two differ on purpose.
        if let Err(message) = &ours {
            prop_assert!(theirs.is_err(), "{message}");
        }
        if let Err(error) = &theirs
            && !error.to_string().contains("out of range")
        {
            prop_assert!(ours.is_err(), "{error}");
        }
    }

    #[test]
    fn a_text_survives_being_written(text in any::<String>()) {
        let written = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(value(&written), JsonValue::Text(text));
    }

    #[test]
    fn a_fraction_is_the_nearest_float(digits in 0_u64..1_000_000_000_000_000, point in 0_usize..15) {
        let padded = std::format!("{digits:015}");
        let (whole, decimals) = padded.split_at(point);
        let whole = whole.trim_start_matches('0');
        let whole = if whole.is_empty() { "0" } else { whole };
        let text = std::format!("{whole}.{decimals}");
        prop_assume!(whole.len() + decimals.len() <= DIGITS_MAX);
        prop_assert_eq!(value(&text).fraction(), text.parse().ok());
    }

    #[test]
    fn a_fraction_with_an_exponent_is_the_nearest_float(
        digits in 0_u64..1_000_000_000_000_000,
        tens in 0_u32..=22,
    ) {
        let text = std::format!("{digits}e-{tens}");
        prop_assert_eq!(value(&text).fraction(), text.parse().ok());
    }
}

/// The value of the only field of an object.
fn value(text: &str) -> JsonValue<'static> {
    let text: &'static str = std::format!("{{\"a\":{text}}}").leak();
    object(text).unwrap().remove(0).1
}
