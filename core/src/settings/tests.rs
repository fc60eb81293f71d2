use std::string::ToString;

use serde_json::{Value as Json, json};

use super::*;
use crate::Concern;

#[test]
fn an_empty_object_is_every_default() {
    let settings = Settings::try_new("{}", &[]).unwrap();
    assert_eq!(settings.namespace, "v1");
    assert_eq!(settings.tuning.spread, LifetimeDraw { jitter: 0.2, early_refresh: 1.0 });
    assert_eq!((settings.tuning.lease_ms, settings.tuning.patience_ms), (1_000, 0));
}

#[test]
fn everything_that_is_set_is_taken() {
    let own = json!({
        "namespace": "shop-2.x_y", "jitter": 0.9, "early_refresh": 0, "lease_ms": 100,
        "patience_ms": 700
    });
    let settings = Settings::try_new(&own.to_string(), &[]).unwrap();
    assert_eq!(settings.namespace, "shop-2.x_y");
    assert_eq!(settings.tuning.spread, LifetimeDraw { jitter: 0.9, early_refresh: 0.0 });
    assert_eq!((settings.tuning.lease_ms, settings.tuning.patience_ms), (100, 700));
    // A small number is written with an exponent.
    let small = json!({ "jitter": 1e-7 }).to_string();
    assert!(small.contains("e-"), "{small}");
    assert_eq!(Settings::try_new(&small, &[]).unwrap().tuning.spread.jitter, 1e-7);
}

#[test]
fn each_mistake_is_reported_at_its_place() {
    for (name, value) in [
        ("namespace", json!("")),
        ("namespace", json!("Shop")),
        ("namespace", json!("a:b")),
        ("namespace", json!("a@b")),
        ("namespace", json!("x".repeat(33))),
        ("namespace", json!(1)),
        ("jitter", json!(0.91)),
        ("jitter", json!(-0.1)),
        ("jitter", json!("0.2")),
        ("early_refresh", json!(11)),
        ("lease_ms", json!(99)),
        ("lease_ms", json!(60_001)),
        ("lease_ms", json!(1.5)),
        ("patience_ms", json!(-1)),
        ("patience_ms", json!([1])),
        ("jiter", json!(0.1)),
    ] {
        assert_eq!(paths(&json!({ name: value }), &[]), [name], "{value}");
    }
}

#[test]
fn every_mistake_is_reported_at_once() {
    let own = json!({ "jitter": 2, "lease_ms": 1, "nonsense": {} });
    assert_eq!(paths(&own, &[]), ["jitter", "lease_ms", "nonsense"]);
}

#[test]
fn settings_that_the_rules_read_are_known() {
    let own = json!({ "rules": [{ "ttl_ms": 1 }], "nonsense": 1 });
    assert_eq!(paths(&own, &["rules"]), ["nonsense"]);
    let objections = Settings::try_new(&own.to_string(), &["rules"]).unwrap_err();
    let message = &objections[0].message;
    assert!(message.ends_with("`lease_ms`, `patience_ms`, `rules`"), "{message}");
}

#[test]
fn rules_read_a_whole_number_of_their_own() {
    let read = |own: &str| whole_setting(own, "cheap_ms", 10, 1..=1_000);
    assert_eq!(read("{}"), Ok(10));
    assert_eq!(read(r#"{ "other": [], "cheap_ms": 1000 }"#), Ok(1_000));
    for own in [r#"{ "cheap_ms": 0 }"#, r#"{ "cheap_ms": "7" }"#, r#"{ "cheap_ms": null }"#] {
        let message = read(own).unwrap_err()[0].to_string();
        let expected = "cheap_ms: must be a whole number from 1 to 1000, not ";
        assert!(message.starts_with(expected), "{message}");
    }
    assert_eq!(read("7").unwrap_err()[0].about, Concern::Setting("".into()));
}

#[test]
fn what_is_no_object_is_refused_as_a_whole() {
    for own in ["", "[]", "7", "{", "{} {}"] {
        let objections = Settings::try_new(own, &[]).unwrap_err();
        assert_eq!(objections[0].about, Concern::Setting("".into()), "{own}");
    }
}

fn paths(own: &Json, others: &[&str]) -> Vec<String> {
    let objections = Settings::try_new(&own.to_string(), others).unwrap_err();
    let path = |objection: Objection| match objection.about {
        Concern::Setting(path) | Concern::Entity(path) => path,
    };
    objections.into_iter().map(path).collect()
}
