//! What valid configurations mean.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{
    Access, Config, Environment, HttpConfig, Location, NearConfig, OriginConfig, Secret,
    StoreConfig, locate,
};
use super::example::EXAMPLE;
use super::parse;
use crate::origin::{Pooler, Rows};
use crate::policy::{Parameter, Piece, Source, Terms, Touch, TouchedRead, Way};
use crate::store::Prefix;

#[test]
fn an_empty_file_is_a_configuration() {
    let config = parse("").unwrap();
    assert_eq!(config.listen, "127.0.0.1:7070".parse().unwrap());
    assert_eq!((config.drain, config.grace), (Duration::from_secs(5), Duration::from_secs(10)));
    assert_eq!(config.admin.listen, "127.0.0.1:7071".parse().unwrap());
    assert_eq!(config.access, Access::default());
    let timeout = Duration::from_millis(50);
    assert_eq!(config.store, StoreConfig { url: None, prefix: Prefix::default(), timeout });
    assert_eq!(config.near, NearConfig { bytes: 64 << 20 });
    assert_eq!(
        config.origin,
        OriginConfig { url: None, max_loads: 32, max_writes: 8, pooler: Pooler::Auto }
    );
    assert!(config.policy.watch && config.policy.component.is_none());
    assert_eq!(config.query.ttl, Duration::from_secs(60));
    assert!(!config.query.enabled && config.entities.is_empty());
}

#[test]
fn an_entity_without_sql_needs_no_origin_and_gets_the_defaults() {
    let config = parse("[entity.report]\nttl = '1m'").unwrap();
    let report = &config.entities["report"];
    assert_eq!(report.read, None);
    assert_eq!((report.rows, report.ttl), (Rows::One, Duration::from_secs(60)));
    assert_eq!(report.stale_while_revalidate, Duration::ZERO);
    assert_eq!(report.negative_ttl, Duration::from_secs(30));
    assert_eq!((report.deadline, report.near), (Duration::from_secs(2), Duration::ZERO));
}

#[test]
fn what_the_faces_do_is_said_outside_of_any_table() {
    let config = parse(
        "idle = '5m'\nmax_connections = 64\nhosts = ['Cache.Internal.', 'a']\n\
         cache_control = 'private, max-age=5'\n\
         [entity.a]\nttl = '1m'\n[entity.b]\nttl = '1m'\ncache_control = 'no-store'",
    )
    .unwrap();
    let expected = HttpConfig {
        idle: Duration::from_secs(300),
        max_connections: 64,
        hosts: vec!["cache.internal".to_owned(), "a".to_owned()],
        cache_control: "private, max-age=5".to_owned(),
    };
    assert_eq!(config.http, expected);
    assert_eq!(config.entities["a"].cache_control, None);
    assert_eq!(config.entities["b"].cache_control.as_deref(), Some("no-store"));
}

#[test]
fn zero_needs_no_unit_where_it_has_a_meaning() {
    for zero in ["0", "'0'", "'0s'", "'0ms'"] {
        let config = parse(&format!("[entity.a]\nttl = '1m'\nnear = {zero}")).unwrap();
        assert_eq!(config.entities["a"].near, Duration::ZERO, "{zero}");
    }
}

#[test]
fn sizes_have_units_and_zero_needs_none() {
    for (written, bytes) in
        [("0", 0), ("'0'", 0), ("'512KiB'", 512 << 10), ("'2 GiB'", 2 << 30), ("'100B'", 100)]
    {
        let config = parse(&format!("[near]\nbytes = {written}")).unwrap();
        assert_eq!(config.near.bytes, bytes, "{written}");
    }
}

#[test]
fn a_statement_loses_its_semicolon_and_nothing_else() {
    let text = "[origin]\nurl='sqlite:a.db'\n[entity.a]\nttl='1m'\nread='''\n SELECT ';' ; \n'''";
    let read = parse(text).unwrap().entities["a"].read.clone().unwrap();
    assert_eq!(read.sql, "SELECT ';'");
}

#[test]
fn an_absolute_component_stays_where_it_is() {
    let config = parse("[policy]\ncomponent = '/opt/p.wasm'").unwrap();
    assert_eq!(config.policy.component, Some(PathBuf::from("/opt/p.wasm")));
}

#[test]
fn one_token_may_read_and_write() {
    assert!(parse("[access]\nread = 't'\nwrite = 't'").is_ok());
}

#[test]
fn beyond_loopback_the_write_scope_needs_a_token_or_a_guard() {
    assert!(parse("listen = '0.0.0.0:80'\n[access]\nwrite = 't'").is_ok());
    assert!(parse("listen = '0.0.0.0:80'\n[access]\nopen = true").is_ok());
    assert!(parse("[admin]\nlisten = '0.0.0.0:81'\ntoken = 't'").is_ok());
    assert!(parse("listen = '[::1]:80'").is_ok());
}

#[test]
fn settings_keep_the_types_of_toml() {
    let text = "[policy.settings]\na = 0x10\nb = 0.5\nc = [1, 'x', {d = true}]\n[policy.settings.e]\nf = 'g'";
    let settings = Value::Object(parse(text).unwrap().policy.settings);
    assert_eq!(settings, json!({"a": 16, "b": 0.5, "c": [1, "x", {"d": true}], "e": {"f": "g"}}));
}

#[test]
fn a_policy_is_told_what_it_needs() {
    let told = parse(EXAMPLE).unwrap().for_policy();
    assert_eq!(Value::Object(told.settings), json!({ "namespace": "v1", "jitter": 0.2 }));
    let [profile] = told.entities.as_slice() else { panic!("{:?}", told.entities) };
    let parameters = |parameters: &[Parameter]| {
        let one = |one: &Parameter| format!("{}:{}", one.name, one.type_name);
        parameters.iter().map(one).collect::<Vec<_>>()
    };
    assert_eq!(
        (profile.name.as_str(), parameters(&profile.parameters)),
        ("user.profile", vec!["id:int8".to_owned()])
    );
    let terms = Terms {
        ttl_ms: 300_000,
        negative_ttl_ms: 30_000,
        stale_while_revalidate_ms: 60_000,
        stale_if_error_ms: 3_600_000,
    };
    assert_eq!(profile.terms, terms);
    let user =
        vec![Piece::Text("user:".to_owned()), Piece::Value(Source::Argument("id".to_owned()))];
    assert_eq!(profile.tags, std::slice::from_ref(&user));
    let [rename] = profile.writes.as_slice() else { panic!("{:?}", profile.writes) };
    assert_eq!((rename.name.as_str(), rename.way), ("rename", Way::Removed));
    assert_eq!(parameters(&rename.parameters), ["id:int8", "name:text", "email:text"]);
    let arguments = vec![Source::Argument("id".to_owned())];
    let read = TouchedRead { entity: "user.profile".to_owned(), arguments };
    assert_eq!(rename.touches, [Touch::Read(read), Touch::Tag(user)]);
}

#[test]
fn relations_that_a_read_depends_on_are_told_as_they_are_named() {
    let text = r#"
        origin.url = "sqlite:x"
        [entity.a]
        read = "SELECT"
        ttl = "1m"
        depends = ["users", "public.teams"]
    "#;
    let told = parse(text).unwrap().for_policy();
    assert_eq!(told.entities[0].depends, ["users", "public.teams"]);
    let errors = parse(&text.replace("public.teams", " ")).unwrap_err().to_string();
    assert!(errors.contains("entity.a.depends[1]: an empty name"), "{errors}");
}

#[test]
fn debug_shows_no_secret() {
    let text = "[admin]\ntoken='s3cret1'\n[access]\nread='s3cret2'\nwrite='s3cret3'\n\
                [store]\nurl='redis://:s3cret4@h'\n[origin]\nurl='postgres://u:s3cret5@h/d'";
    let environment = Environment::from_iter([("CORRAL_ADMIN_TOKEN", "s3cret6")]);
    let config = Config::parse(text, "c", &environment).unwrap();
    assert_eq!(config.admin.token, Some(Secret("s3cret6".to_owned())));
    let shown = format!("{config:?}{environment:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn a_file_is_read_and_a_missing_one_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("corral.toml");
    let errors = Config::load(&path).unwrap_err().to_string();
    assert!(errors.starts_with(&format!("{}: can't be read: ", path.display())), "{errors}");
    fs::write(&path, "[policy]\ncomponent = 'p.wasm'").unwrap();
    assert_eq!(Config::load(&path).unwrap().policy.component, Some(folder.path().join("p.wasm")));
}

#[test]
fn a_policys_problem_finds_its_place_in_the_file() {
    let at = |path: &str| {
        let environment = Environment::from_iter([("CORRAL_POLICY_SETTINGS_NAMESPACE", "v 2")]);
        locate(EXAMPLE, "c", &environment, path, "wrong".to_owned()).to_string()
    };
    assert_eq!(at("policy.settings.jitter"), "c:24:10 policy.settings.jitter: wrong");
    assert_eq!(at("policy.settings.beta"), "c:22:1 policy.settings.beta: wrong");
    assert_eq!(
        at("policy.settings.namespace"),
        "environment variable CORRAL_POLICY_SETTINGS_NAMESPACE (policy.settings.namespace): wrong"
    );
    assert_eq!(at("query.ttl"), "c:44:1 query.ttl: wrong");
    assert_eq!(at("entity.user.profile.ttl"), "c:30:7 entity.\"user.profile\".ttl: wrong");
    assert_eq!(
        at("entity.user.profile.write.rename.touches[1]"),
        "c:42:32 entity.\"user.profile\".write.rename.touches: wrong"
    );
    assert_eq!(at("entity.nobody"), "c:26:2 entity.nobody: wrong");
    assert_eq!(at("policy.settings"), "c:22:1 policy.settings: wrong");
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in ".*") {
        check_any(&text);
    }

    #[test]
    fn a_torn_example_never_panics(
        cuts in prop::collection::vec((0..EXAMPLE.len(), 0..30_usize), 1..6),
        insert in r#"[\[\]{}=."'a-z0-9\n#\\-]{0,8}"#,
    ) {
        let mut text = EXAMPLE.to_owned();
        for (at, length) in cuts {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &insert);
        }
        check_any(&text);
    }

    #[test]
    fn arbitrary_values_never_panic(value in any::<String>(), key in 0..KEYS.len()) {
        let quoted = Value::from(value.clone()).to_string();
        let line = KEYS[key].replace('@', &quoted);
        check_any(&format!("[entity.a]\nttl = '1m'\n{line}"));
        let environment = Environment::from_iter(
            ["CORRAL_LISTEN", "CORRAL_GRACE", "CORRAL_ORIGIN_MAX_LOADS", "CORRAL_ENTITY_A_TAGS"]
                .map(|name| (name, value.as_str())),
        );
        let _ = Config::parse("[entity.a]\nttl = '1m'", "c", &environment);
    }
}

/// Places of the grammar where a string may stand.
const KEYS: [&str; 7] = [
    "tags = [@]",
    "params = [@]",
    "deadline = @",
    "rows = @",
    "read = @",
    "write.w = { sql = 'x', params = ['a:text'], touches = [@] }",
    "@ = 1",
];

/// Checks that the text parses, or that each problem is one line with a place.
fn check_any(text: &str) {
    let Err(errors) = parse(text) else { return };
    assert!(!errors.problems().is_empty());
    for problem in errors.problems() {
        assert_eq!(problem.to_string().lines().count(), 1, "{problem}");
        assert!(!matches!(problem.place, Location::Variable(_)));
    }
}
