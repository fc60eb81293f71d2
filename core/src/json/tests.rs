use std::string::ToString;

use proptest::prelude::*;

use super::*;

#[test]
fn every_kind_of_value_is_read() {
    let value =
        parse(r#" { "a" : [ 1 , "x" , true , null , { } , [ ] ] , "b" : -2.5e3 } "#).unwrap();
    let field = |name| value.object().unwrap().get(name).unwrap();
    let items = field("a").list().unwrap();
    assert_eq!(items.len(), 6);
    assert_eq!((items[0].whole(), items[1].text()), (Some(1), Some("x")));
    assert!(items[4].object().unwrap().iter().next().is_none());
    assert_eq!(field("b").to_string(), "-2.5e3");
}

#[test]
fn escapes_are_what_they_stand_for() {
    let value = parse(r#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00x""#).unwrap();
    assert_eq!(value.text(), Some("\"\\/\u{8}\u{c}\n\r\té😀x"));
}

#[test]
fn what_is_no_json_is_told_with_its_place() {
    for (text, message) in [
        ("", "lacks a value at byte 0"),
        ("nul", "lacks a value at byte 0"),
        ("[1 2]", "lacks `,` or `]` at byte 3"),
        ("[1,]", "lacks a value at byte 3"),
        ("{\"a\" 1}", "lacks `:` at byte 5"),
        ("{\"a\":1,}", "lacks a name or text in quotes at byte 7"),
        ("{\"a\":1,\"a\":2}", "has the name `a` a second time at byte 7"),
        ("01", "lacks a number without leading zeros at byte 0"),
        ("1.", "lacks a digit at byte 2"),
        ("1 1", "lacks the end at byte 2"),
        ("\"a\nb\"", "lacks `\"` at byte 2"),
        ("\"\\x\"", "lacks an escape at byte 2"),
        ("\"\\u12g4\"", "lacks four hexadecimal digits at byte 3"),
        ("\"\\ud800x\"", "lacks the second half of a pair at byte 7"),
        ("\"\\ud800\\u0041\"", "lacks the second half of a pair at byte 13"),
        ("\"\\udc00\"", "lacks a character at byte 7"),
    ] {
        assert_eq!(parse(text).unwrap_err(), message, "{text}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(parse(&deep).unwrap_err(), "nests deeper than 32 at byte 33");
}

#[test]
fn a_number_of_another_form_is_neither_whole_nor_a_fraction() {
    for text in ["-1", "1e3", "1234567890123456"] {
        let value = parse(text).unwrap();
        assert_eq!((value.whole(), value.fraction()), (None, None), "{text}");
    }
    assert_eq!(parse("1.0").unwrap().whole(), None);
    assert_eq!(parse("4294967296").unwrap().whole(), None);
}

proptest! {
    #[test]
    fn it_reads_what_the_common_library_writes_and_refuses_what_that_refuses(
        text in r#"[\[\]{}:,"\\u0-9a-e.\- \n]{0,24}"#
    ) {
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        let ours = parse(&text);
        // A name that comes twice, and a number beyond 64 bits, are where the two differ on purpose.
        if let Err(message) = &ours
            && !message.contains("a second time")
        {
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
        let value = parse(&written).unwrap();
        prop_assert_eq!(value.text(), Some(text.as_str()));
    }

    #[test]
    fn a_fraction_is_the_nearest_float(digits in 0_u64..1_000_000_000_000_000, point in 0_usize..15) {
        let padded = std::format!("{digits:015}");
        let (whole, decimals) = padded.split_at(point);
        let whole = whole.trim_start_matches('0');
        let whole = if whole.is_empty() { "0" } else { whole };
        let text = std::format!("{whole}.{decimals}");
        prop_assume!(whole.len() + decimals.len() <= DIGITS_MAX);
        prop_assert_eq!(parse(&text).unwrap().fraction(), text.parse().ok());
    }
}
