//! The default policy behaves the same natively and as the component that the host carries.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

use corral_host::config::{Config, Environment};
use corral_host::policy::prove::gate;
use corral_host::policy::{
    Configuration, Decider, Engine, Entity, InstancePool, Limits, Piece, Way, builtin,
};
use corral_host::service::conditions;
use corral_tests::behaviour::{configuration, first_difference, run_all};
use corral_tests::native::Native;

const CALLS: usize = 10_000;

#[test]
fn the_native_policy_passes_the_suite() {
    let checks = run_all(&native(&configuration())).unwrap();
    assert!(checks >= 25, "only {checks} checks ran");
}

#[test]
fn the_component_passes_the_suite() {
    run_all(&*component()).unwrap();
}

#[test]
fn ten_thousand_generated_calls_have_the_same_answers_natively_and_in_the_component() {
    let component = component();
    for seed in 0..2 {
        let difference = first_difference(&native(&configuration()), &*component, seed, CALLS);
        assert!(difference.is_none(), "{}", difference.unwrap_or_default());
    }
}

#[test]
fn the_comparison_tells_policies_apart_that_differ_in_one_setting() {
    let right = native(&configuration());
    assert_eq!(first_difference(&right, &native(&configuration()), 0, CALLS), None);
    let with = |name: &str, value: Value| {
        let mut other = configuration();
        let before = other.settings.insert(name.to_owned(), value.clone());
        assert_ne!(before, Some(value), "{name} is no other");
        other
    };
    let over = |change: fn(&mut Entity)| {
        let mut other = configuration();
        change(other.entities.last_mut().unwrap());
        assert_ne!(other, configuration());
        other
    };
    for other in [
        with("jitter", json!(0.201)),
        with("namespace", json!("v2")),
        with("early_refresh", json!(1.1)),
        with("lease_ms", json!(1_001)),
        over(|profile| profile.terms.stale_if_error_ms = 0),
        over(|profile| profile.writes[0].way = Way::Removed),
        over(|profile| profile.tags[1][0] = Piece::Text("team_".into())),
    ] {
        let difference = first_difference(&right, &native(&other), 0, CALLS);
        assert!(difference.is_some(), "{other:?} makes no difference");
    }
}

#[test]
fn the_suite_rejects_a_policy_with_another_jitter_or_namespace() {
    for (name, value, check) in [
        ("jitter", json!(0.19), "a_base_of_300_s_lives_240_to_360_s_uniformly"),
        ("namespace", json!("v2"), "a_usual_read_has_a_key_that_a_person_can_read"),
    ] {
        let mut other = configuration();
        other.settings.insert(name.to_owned(), value);
        let error = run_all(&native(&other)).unwrap_err();
        assert!(error.to_string().contains(check), "{error}");
    }
}

/// Configurations under which the gate examines the default policy: the usual one, and the limits
/// of what can be configured.
const CONFIGURATIONS: [&str; 6] = [
    "",
    "[entity.catalogue]\nttl = '1ms'\ndeadline = '1ms'\nnegative_ttl = 0",
    "[entity.archive]\nparams = ['id:int8']\nttl = '30days'\nstale_if_error = '30days'\n\
     deadline = '5m'\n[policy.settings]\njitter = 0.9",
    "[policy.settings]\npatience_ms = 500\nearly_refresh = 0.0\nlease_ms = 60000\n\
     [entity.a]\nttl = '1m'\nstale_while_revalidate = '1s'",
    "[query]\nenabled = true\nttl = '30days'\nmax_ttl = '30days'\n[origin]\nurl = 'sqlite:shop.db'",
    r#"
        origin.url = "sqlite:shop.db"
        [entity."user.profile"]
        params = ["id:int8"]
        ttl = "5m"
        stale_while_revalidate = "1m"
        tags = ["user:{id}", "team:{row.team_id}"]
        [entity."user.profile".write.move]
        params = ["user:int8", "team:int8"]
        sql = "UPDATE users SET team_id = $2 WHERE id = $1 RETURNING team_id"
        then = "write-through"
        touches = ["user.profile(user)", "tag team:{row.team_id}", "tag team:{old.team_id}",
                   "user.profile(old.lead)", "tag user:{user}"]
        [entity."order.list"]
        params = ["user:int8", "page:int4"]
        ttl = "1m"
        tags = ["user:{user}", "orders"]
        [entity."order.list".write.clear]
        params = []
        sql = "DELETE FROM orders"
        touches = ["tag orders"]
    "#,
];

/// Long enough for any machine that runs tests.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn the_default_policy_passes_the_gate_natively_and_as_a_component_whatever_is_configured() {
    let engine = Engine::new(Limits { gate: LONG, ..Limits::default() }).unwrap();
    for text in CONFIGURATIONS {
        let config = Config::parse(text, "corral.toml", &Environment::default()).unwrap();
        let conditions = conditions(&config);
        let native = gate::examine_native(&native(&conditions.configuration), &conditions, LONG);
        let native = native.unwrap_or_else(|rejection| panic!("{text}: {rejection}"));
        let component = gate::examine(&engine, builtin(), &conditions);
        let component = component.unwrap_or_else(|rejection| panic!("{text}: {rejection}"));
        assert_eq!(component.report().explored, native, "{text}");
        assert!(native.complete, "{text}: {native}");
    }
}

#[test]
fn the_gate_finds_a_policy_that_forgets_one_of_its_touches() {
    let config = CONFIGURATIONS[5];
    let config = Config::parse(config, "corral.toml", &Environment::default()).unwrap();
    let conditions = conditions(&config);
    let mut forgetful = Configuration::clone(&conditions.configuration);
    assert!(forgetful.entities[1].writes[0].touches.pop().is_some());
    let rejection = gate::examine_native(&native(&forgetful), &conditions, LONG).unwrap_err();
    assert_eq!(rejection.findings[0].message, "the write move leaves a read stale");
    assert!(rejection.findings[0].examples[1].contains("order.list(user="), "{rejection}");
}

fn native(configuration: &Configuration) -> Native {
    Native::try_new(configuration).unwrap()
}

/// The checked-in component, through the gate.
fn component() -> Arc<InstancePool> {
    let engine = Engine::new(Limits::default()).unwrap();
    let conditions = gate::Conditions::of(configuration());
    let passed = gate::examine(&engine, builtin(), &conditions).unwrap();
    let pool = Arc::clone(passed.pool());
    let _: &dyn Decider = &*pool;
    pool
}
