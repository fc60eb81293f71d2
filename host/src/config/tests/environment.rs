//! Values from the environment.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::{Config, ConfigErrors, Environment, Secret, TagTemplate};

const FILE: &str = r#"
[store]
url = "redis://file"
[policy.settings]
namespace = "v1"
inner = { rate = 1 }
[entity."user.profile"]
params = ["id:int8"]
ttl = "5m"
tags = ["user:{id}"]
write.rename = { sql = "UPDATE", params = ["id:int8"] }
"#;

#[test]
fn the_environment_comes_before_the_file() {
    let config = parse(&[
        ("CORRAL_LISTEN", "127.0.0.1:1"),
        ("CORRAL_STORE_URL", "rediss://environment"),
        ("CORRAL_ADMIN_TOKEN", "t"),
        ("CORRAL_ACCESS_NO_CACHE", "true"),
        ("CORRAL_ORIGIN_URL", "sqlite:shop.db"),
        ("CORRAL_ORIGIN_MAX_LOADS", "7"),
        ("CORRAL_POLICY_COMPONENT", "p.wasm"),
        ("CORRAL_POLICY_LIMITS_GATE", "7s"),
        ("CORRAL_POLICY_LIMITS_MEMORY", "256MiB"),
        ("CORRAL_ENTITY_USER_PROFILE_TTL", "7s"),
        ("CORRAL_ENTITY_USER_PROFILE_NEAR", "0"),
        ("CORRAL_ENTITY_USER_PROFILE_TAGS", r#"["u:{id}", "all"]"#),
        ("CORRAL_ENTITY_USER_PROFILE_WRITE_RENAME_SQL", "DELETE"),
        ("PATH", "not ours"),
    ])
    .unwrap();
    assert_eq!(config.listen.port(), 1);
    assert_eq!(config.store.url, Some(Secret("rediss://environment".to_owned())));
    assert_eq!(config.admin.token, Some(Secret("t".to_owned())));
    assert!(config.access.no_cache);
    assert_eq!(config.origin.max_loads, 7);
    assert_eq!(config.policy.component, Some("etc/p.wasm".into()));
    let limits = &config.policy.limits;
    assert_eq!((limits.gate, limits.memory_bytes), (Duration::from_secs(7), 256 << 20));
    let profile = &config.entities["user.profile"];
    assert_eq!((profile.ttl, profile.near), (Duration::from_secs(7), Duration::ZERO));
    let tags: Vec<&str> = profile.tags.iter().map(TagTemplate::text).collect();
    assert_eq!(tags, ["u:{id}", "all"]);
    assert_eq!(profile.writes["rename"].statement.sql, "DELETE");
}

#[test]
fn settings_of_the_policy_come_from_the_environment_too() {
    let config = parse(&[
        ORIGIN,
        ("CORRAL_POLICY_SETTINGS_NAMESPACE", "v2"),
        ("CORRAL_POLICY_SETTINGS_JITTER", "0.3"),
        ("CORRAL_POLICY_SETTINGS_INNER_RATE", "2"),
        ("CORRAL_POLICY_SETTINGS_QUOTED", "'7'"),
    ]);
    let expected = json!({"inner": {"rate": 2}, "namespace": "v2", "jitter": 0.3, "quoted": "7"});
    assert_eq!(Value::Object(config.unwrap().policy.settings), expected);
}

#[test]
fn problems_name_the_variable() {
    let lines = problems(&[
        ORIGIN,
        ("CORRAL_ACCESS_OPEN", "yes"),
        ("CORRAL_ACCESS_READ", ""),
        ("CORRAL_ENTITY_USER_PROFILE_DEADLINE", "5"),
        ("CORRAL_ENTITY_USER_PROFILE_TAGS", "user:{id}"),
        ("CORRAL_ENTITY_USER_PROFILE_WRITE", "x"),
        ("CORRAL_GRACE", "soon"),
        ("CORRAL_ORIGIN_MAX_WRITES", "many"),
        ("CORRAL_POLICY_SETTINGS_INNER", "1"),
        ("CORRAL_POLICY_SETTINGS_QUERY", "1"),
        ("CORRAL_STORE_ULR", "redis://:s3cret@h"),
        ("CORRAL_STORE_URL", "http://:s3cret@h"),
        ("CORRAL_ZZZZZZZZ", "1"),
    ]);
    let expected = [
        "ACCESS_OPEN (access.open): \"yes\" is neither true nor false",
        "ACCESS_READ (access.read): an empty token; write one, or leave the key out",
        "ENTITY_USER_PROFILE_DEADLINE (entity.\"user.profile\".deadline): \
         \"5\" has no unit; write \"5s\" or \"5ms\"",
        "ENTITY_USER_PROFILE_TAGS (entity.\"user.profile\".tags): not a list; write [\"one\", \"two\"]",
        "ENTITY_USER_PROFILE_WRITE: stands for no key; did you mean CORRAL_ENTITY_USER_PROFILE_READ?",
        "GRACE (grace): \"soon\" is not a duration; write \"5m\", \"300ms\" or \"1h30m\"",
        "ORIGIN_MAX_WRITES (origin.max_writes): many is not valid; write a number from 1 to 1000",
        "POLICY_SETTINGS_INNER: stands for no key; did you mean CORRAL_POLICY_SETTINGS_QUERY?",
        "STORE_ULR: stands for no key; did you mean CORRAL_STORE_URL?",
        "STORE_URL (store.url): not an address that works here; begin with redis://, rediss://, \
         unix://, redis+unix://, redis+sentinel://, rediss+sentinel://, redis+cluster:// or rediss+cluster://",
        "ZZZZZZZZ: stands for no key; unset it",
    ];
    let expected: Vec<_> =
        expected.iter().map(|line| format!("environment variable CORRAL_{line}")).collect();
    assert_eq!(lines, expected);
}

#[test]
fn a_variable_that_stands_for_two_keys_is_refused() {
    let environment = Environment::from_iter([("CORRAL_ENTITY_A_B_TTL", "1m")]);
    let errors =
        Config::parse("[entity.'a.b']\n[entity.a_b]\nttl = '1s'", "c", &environment).unwrap_err();
    let expected = "environment variable CORRAL_ENTITY_A_B_TTL: \
                    stands for entity.\"a.b\".ttl and for entity.a_b.ttl; set them in the file";
    assert_eq!(errors.problems()[0].to_string(), expected);
    assert_eq!(errors.problems().len(), 1);
}

#[test]
fn a_missing_address_is_listened_for_where_it_was_set() {
    let lines = problems(&[ORIGIN, ("CORRAL_LISTEN", "0.0.0.0:80")]);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("environment variable CORRAL_LISTEN (listen): 0.0.0.0:80"));
}

const ORIGIN: (&str, &str) = ("CORRAL_ORIGIN_URL", "sqlite:shop.db");

fn parse(variables: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    Config::parse(FILE, "etc/corral.toml", &variables.iter().copied().collect())
}

fn problems(variables: &[(&str, &str)]) -> Vec<String> {
    parse(variables).unwrap_err().problems().iter().map(ToString::to_string).collect()
}
