//! The default policy behaves alike natively and as the component that the host carries.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use corral_host::policy::{Engine, Limits, Policy, Pool, builtin, gate};
use corral_tests::behaviour::{SETTINGS, entities, first_difference, run_all};
use corral_tests::native::Native;

const CALLS: usize = 10_000;

#[test]
fn the_native_policy_passes_the_suite() {
    let checks = run_all(&native(SETTINGS)).unwrap();
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
        let difference = first_difference(&native(SETTINGS), &*component, seed, CALLS);
        assert!(difference.is_none(), "{}", difference.unwrap_or_default());
    }
}

#[test]
fn the_comparison_tells_policies_apart_that_differ_in_one_setting() {
    let right = native(SETTINGS);
    assert_eq!(first_difference(&right, &native(SETTINGS), 0, CALLS), None);
    for (setting, other) in [
        (r#""jitter": 0.2"#, r#""jitter": 0.201"#),
        (r#""namespace": "v1""#, r#""namespace": "v2""#),
        (r#""early_refresh": 1.0"#, r#""early_refresh": 1.1"#),
        (r#""lease_ms": 1000"#, r#""lease_ms": 1001"#),
        (r#""stale_if_error_ms": 3600000"#, r#""stale_if_error_ms": 0"#),
        (r#""then": "write-through""#, r#""then": "invalidate""#),
        (r#""team:{row.team_id}"],"#, r#""team_{row.team_id}"],"#),
    ] {
        let settings = SETTINGS.replacen(setting, other, 1);
        assert_ne!(settings, SETTINGS, "{setting} does not occur");
        let difference = first_difference(&right, &native(&settings), 0, CALLS);
        assert!(difference.is_some(), "{other} makes no difference");
    }
}

#[test]
fn the_suite_rejects_a_policy_with_another_jitter_or_namespace() {
    for (setting, other, check) in [
        (r#""jitter": 0.2"#, r#""jitter": 0.19"#, "a_base_of_300_s_lives_240_to_360_s_uniformly"),
        (
            r#""namespace": "v1""#,
            r#""namespace": "v2""#,
            "a_usual_read_has_a_key_that_a_person_can_read",
        ),
    ] {
        let error = run_all(&native(&SETTINGS.replacen(setting, other, 1))).unwrap_err();
        assert!(error.to_string().contains(check), "{error}");
    }
}

fn native(settings: &str) -> Native {
    Native::try_new(settings).unwrap()
}

/// The checked-in component, through the gate.
fn component() -> Arc<Pool> {
    let engine = Engine::new(Limits::default()).unwrap();
    let terms = gate::Terms::new(SETTINGS, entities());
    let passed = gate::examine(&engine, builtin(), &terms).unwrap();
    let pool = Arc::clone(passed.pool());
    let _: &dyn Policy = &*pool;
    pool
}
