//! Canonical texts, over generated values.

use corral_host::origin::{Element, ParamType, Value};
use proptest::prelude::*;
use serde_json::Value as Json;

proptest! {
    #[test]
    fn a_canonical_text_is_its_own_canonical_text((ty, text) in spelling()) {
        if let Ok(value) = Value::from_text(ty, Some(&text)) {
            let again = Value::from_text(ty, value.canonical()).unwrap();
            prop_assert_eq!(again, value);
        }
    }

    #[test]
    fn no_text_and_no_document_makes_parsing_panic(ty in any_type(), text in ".{0,80}") {
        let _ = Value::from_text(ty, Some(&text));
        let _ = Value::from_json(ty, &Json::from(text));
    }

    #[test]
    fn different_integers_have_different_texts(left: i64, right: i64) {
        let text = |n: i64| canonical(ParamType::Int8, &n.to_string());
        prop_assert_eq!(text(left) == text(right), left == right);
    }

    #[test]
    fn floats_come_back_to_the_bit(number in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL) {
        let text = canonical(ParamType::Float8, &format!("{number:e}"));
        prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits());
    }

    #[test]
    fn a_decimal_has_one_text_however_it_is_written(
        digits in 0_u64..10_000_000, scale in 0_u32..8, zeros in 0_usize..4, shift in -3_i32..4,
    ) {
        let plain = decimal(digits, scale);
        let padded = format!("+00{plain}{}", if scale > 0 { "0".repeat(zeros) } else { String::new() });
        let shifted = format!("{digits}e{}", -i64::from(scale));
        let scaled = format!("{plain}e{shift}");
        let unscaled = format!("{}e{}", canonical(ParamType::Numeric, &scaled), -shift);
        let expected = canonical(ParamType::Numeric, &plain);
        prop_assert_eq!(&canonical(ParamType::Numeric, &padded), &expected);
        prop_assert_eq!(&canonical(ParamType::Numeric, &shifted), &expected);
        prop_assert_eq!(&canonical(ParamType::Numeric, &unscaled), &expected);
    }

    #[test]
    fn different_decimals_have_different_texts(
        left in (0_u64..2000, 0_u32..4), right in (0_u64..2000, 0_u32..4),
    ) {
        let text = |(digits, scale)| canonical(ParamType::Numeric, &decimal(digits, scale));
        let is_equal = left.0 * 10_u64.pow(right.1) == right.0 * 10_u64.pow(left.1);
        prop_assert_eq!(text(left) == text(right), is_equal);
    }

    #[test]
    fn different_lists_of_texts_have_different_texts(
        left in texts(), right in texts(),
    ) {
        let array = ParamType::Array(Element::Text);
        let text = |list: &Vec<Option<String>>| {
            Value::from_json(array, &Json::from(list.clone())).unwrap()
        };
        prop_assert_eq!(text(&left) == text(&right), left == right);
    }
}

/// Texts that are similar enough to be confused.
fn texts() -> impl Strategy<Value = Vec<Option<String>>> {
    let text = prop_oneof![Just(None), "[a\",\\[\\]nul\\\\]{0,4}".prop_map(Some)];
    proptest::collection::vec(text, 0..3)
}

fn canonical(ty: ParamType, text: &str) -> String {
    Value::from_text(ty, Some(text)).unwrap().canonical().unwrap().to_owned()
}

fn decimal(digits: u64, scale: u32) -> String {
    let scale = scale as usize;
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if scale == 0 { whole.to_owned() } else { format!("{whole}.{fraction}") }
}

fn any_type() -> impl Strategy<Value = ParamType> {
    let names = [
        "bool",
        "int2",
        "int4",
        "int8",
        "float4",
        "float8",
        "numeric",
        "text",
        "uuid",
        "date",
        "timestamp",
        "timestamptz",
        "json",
        "jsonb",
        "bytea",
        "int8[]",
        "text[]",
        "numeric[]",
    ];
    proptest::sample::select(names.to_vec()).prop_map(|name| name.parse().unwrap())
}

/// A type and a text that often is a value of it.
fn spelling() -> impl Strategy<Value = (ParamType, String)> {
    let document = r#"(\{"[ab]": ?)?(-?[0-9]{1,3}(\.[0-9]{1,3})?(e-?[0-9]{1,2})?|"[a-zé\\n]{0,4}"|null|\[1, ?"x"\])\}?"#;
    let shapes: Vec<(&str, &str)> = vec![
        ("bool", "(true|F|on|0|yes)"),
        ("int8", "[+-]?0{0,3}[0-9]{1,18}"),
        ("float4", "-?[0-9]{1,5}(\\.[0-9]{1,9})?(e-?[0-9]{1,2})?"),
        ("float8", "-?[0-9]{1,9}(\\.[0-9]{1,19})?(e-?[0-9]{1,3})?"),
        ("numeric", "[+-]?[0-9]{0,30}(\\.[0-9]{0,30})?(e-?[0-9]{1,3})?"),
        ("text", ".{0,20}"),
        ("uuid", "[0-9A-Fa-f]{32}"),
        ("date", "[0-9]{4}-(0?[1-9]|1[0-2])-[0-2]?[0-9]"),
        ("timestamp", "[0-9]{4}-0[1-9]-1[0-9][T ][01][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,7})?"),
        (
            "timestamptz",
            "[0-9]{4}-0[1-9]-1[0-9][T ][01][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]0[0-9](:[0-5]0)?)",
        ),
        ("jsonb", document),
        ("bytea", "\\\\x([0-9A-F]{2}){0,8}"),
        ("int8[]", "\\[(-?[1-9][0-9]{0,4}, ?){0,3}null\\]"),
        ("text[]", "\\[(\"[a-zé]{0,3}\", ?){0,3}null\\]"),
    ];
    proptest::sample::select(shapes).prop_flat_map(|(ty, pattern)| {
        let ty: ParamType = ty.parse().unwrap();
        (Just(ty), proptest::string::string_regex(pattern).unwrap())
    })
}
