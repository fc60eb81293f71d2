use std::string::ToString;

use serde_json::{Value, json};

use super::*;
use crate::Way;

#[test]
fn an_empty_object_is_every_default() {
    let settings = Settings::try_new("{}").unwrap();
    assert_eq!(settings.namespace, "v1");
    assert_eq!(settings.tuning.spread, Spread { jitter: 0.2, early_refresh: 1.0 });
    assert_eq!((settings.tuning.lease_ms, settings.tuning.patience_ms), (1_000, 0));
    assert_eq!(settings.query_ttl_ms, 60_000);
    assert_eq!(settings.entities, []);
}

#[test]
fn everything_that_is_set_is_taken() {
    let settings = Settings::try_new(&valid().to_string()).unwrap();
    let (index, entity) = settings.entity("user.profile").unwrap();
    assert_eq!((index, entity.params.as_slice()), (1, ["id".to_string()].as_slice()));
    assert_eq!(entity.terms.ttl_ms, 300_000);
    assert_eq!(entity.terms.stale_while_revalidate_ms, 60_000);
    assert_eq!(entity.terms.stale_if_error_ms, 3_600_000);
    assert_eq!(entity.terms.negative_ttl_ms, 5_000);
    assert_eq!((entity.tags.len(), entity.row_tags.len()), (1, 2));
    assert_eq!(entity.row_columns, ["team_id", "region"]);
    let write = &entity.writes[0];
    assert_eq!(
        (write.name.as_str(), write.way, write.touches.len()),
        ("rename", Way::Refreshed, 3)
    );
    assert_eq!(settings.namespace, "shop-2.x_y");
    assert_eq!(settings.tuning.patience_ms, 700);
    assert!(settings.entity("user").is_none());
}

#[test]
fn each_mistake_is_reported_at_its_place() {
    for (pointer, value, path) in [
        ("/namespace", json!(""), "namespace"),
        ("/namespace", json!("Shop"), "namespace"),
        ("/namespace", json!("a:b"), "namespace"),
        ("/namespace", json!("x".repeat(33)), "namespace"),
        ("/namespace", json!(1), "namespace"),
        ("/jitter", json!(0.91), "jitter"),
        ("/jitter", json!(-0.1), "jitter"),
        ("/jitter", json!("0.2"), "jitter"),
        ("/early_refresh", json!(11), "early_refresh"),
        ("/lease_ms", json!(99), "lease_ms"),
        ("/lease_ms", json!(60_001), "lease_ms"),
        ("/lease_ms", json!(1.5), "lease_ms"),
        ("/patience_ms", json!(-1), "patience_ms"),
        ("/query", json!([]), "query"),
        ("/query/ttl_ms", json!(0), "query.ttl_ms"),
        ("/entities", json!(null), "entities"),
        ("/entities/user.profile", json!(7), "entities.user.profile"),
        (PROFILE, with("ttl_ms", json!(0)), "entities.user.profile.ttl_ms"),
        (PROFILE, with("ttl_ms", json!(DURATION_MAX_MS + 1)), "entities.user.profile.ttl_ms"),
        (PROFILE, with("ttl_ms", json!(u64::MAX)), "entities.user.profile.ttl_ms"),
        (PROFILE, with("tll", json!(1)), "entities.user.profile.tll"),
        (PROFILE, with("tags", json!("user")), "entities.user.profile.tags"),
        (PROFILE, with("tags", json!(["a", 1])), "entities.user.profile.tags[1]"),
        (PROFILE, with("tags", json!(["user:{name}"])), "entities.user.profile.tags[0]"),
        (PROFILE, with("tags", json!(["a b"])), "entities.user.profile.tags[0]"),
        (PROFILE, with("params", json!(["id", "id"])), "entities.user.profile.params[1]"),
        (PROFILE, with("params", json!(["row.id"])), "entities.user.profile.params[0]"),
    ] {
        let mut settings = valid();
        *settings.pointer_mut(pointer).unwrap() = value;
        assert_eq!(paths(&settings)[0], path);
    }
}

#[test]
fn each_mistake_of_a_write_is_reported_at_its_place() {
    let at = |rest: &str| format!("entities.user.profile.writes.rename.{rest}");
    for (field, value, path) in [
        ("then", json!("remove"), at("then")),
        ("touches", json!(["user.profil(id)"]), at("touches[0]")),
        ("touches", json!(["tag a", "user.profile()"]), at("touches[1]")),
        ("touches", json!(["user.profile(name)"]), at("touches[0]")),
        ("touches", json!(["user.profile(id, id)"]), at("touches[0]")),
        ("touches", json!(["tag user:{name}"]), at("touches[0]")),
        ("touches", json!(["tags user:{id}"]), at("touches[0]")),
        ("sql", json!("UPDATE"), at("sql")),
    ] {
        let mut settings = valid();
        settings["entities"]["user.profile"]["writes"]["rename"][field] = value;
        assert_eq!(paths(&settings), [path]);
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let settings = json!({
        "jitter": 2, "lease": 5, "query": { "ttl_ms": 0 },
        "entities": {
            "a b": { "ttl_ms": 1 },
            "order": { "tags": ["{x}", "{"], "writes": { "w": { "then": 1, "touches": ["no()"] } } },
        },
    });
    let expected = [
        "jitter",
        "query.ttl_ms",
        "entities.a b",
        "entities.order.ttl_ms",
        "entities.order.tags[0]",
        "entities.order.tags[1]",
        "entities.order.writes.w.then",
        "entities.order.writes.w.touches[0]",
        "lease",
    ];
    assert_eq!(paths(&settings), expected);
}

#[test]
fn a_message_says_what_would_be_right() {
    let problems = Settings::try_new(r#"{"lease_ms": 5, "jiter": 0}"#).unwrap_err();
    let messages: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(messages[0], "lease_ms: must be a whole number from 100 to 60000, not 5");
    assert!(messages[1].starts_with("jiter: is unknown here; known are `namespace`, `jitter`"));
}

#[test]
fn what_is_no_json_is_one_problem_of_the_whole() {
    for text in ["", "{", "[]", "1", "{} {}"] {
        let problems = Settings::try_new(text).unwrap_err();
        assert_eq!(problems.len(), 1, "{text}");
        assert_eq!(problems[0].path, "");
    }
}

const PROFILE: &str = "/entities/user.profile";

fn with(field: &str, value: Value) -> Value {
    let mut entity = json!({ "params": ["id"], "ttl_ms": 1_000 });
    entity[field] = value;
    entity
}

fn valid() -> Value {
    json!({
        "namespace": "shop-2.x_y", "jitter": 0.9, "lease_ms": 100, "patience_ms": 700,
        "early_refresh": 0, "query": { "ttl_ms": 1 },
        "entities": {
            "user.profile": {
                "params": ["id"], "ttl_ms": 300_000, "stale_while_revalidate_ms": 60_000,
                "stale_if_error_ms": 3_600_000, "negative_ttl_ms": 5_000,
                "tags": ["user:{id}", "team:{row.team_id}", "r:{row.region}/{row.team_id}"],
                "writes": { "rename": {
                    "params": ["id"], "then": "write-through",
                    "touches": ["user.profile(id)", "tag user:{id}", "tag team:{row.team_id}"],
                } },
            },
            "report": { "ttl_ms": 1 },
        },
    })
}

fn paths(settings: &Value) -> Vec<String> {
    let problems = Settings::try_new(&settings.to_string()).unwrap_err();
    problems.into_iter().map(|problem| problem.path).collect()
}
