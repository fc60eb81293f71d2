use super::*;
use crate::policy::prove::gate;
use crate::policy::testing::{Wat, engine};

#[test]
fn the_built_in_policy_does_all_that_an_author_is_asked_for() {
    let own = Map::new();
    let conditions = gate::Conditions::of(configuration(&own));
    let passed = gate::examine(&engine(), crate::policy::builtin(), &conditions).unwrap();
    for check in CHECKS {
        assert_eq!(check.run(&**passed.pool()), Ok(()), "{}", check.sentence());
    }
}

/// The control: a policy that passes the gate and does as little as a policy can.
#[test]
fn a_policy_that_never_caches_passes_the_gate_and_fails_the_suite_by_name() {
    let passed = Wat::default().passed();
    let failed: Vec<String> = CHECKS
        .iter()
        .filter(|check| check.run(&**passed.pool()).is_err())
        .map(Check::sentence)
        .collect();
    for sentence in [
        "a cold read claims once loads fills and answers",
        "a held lease is waited for and then claimed",
        "a request that does not fit is refused by name",
        "a write removes the key and the tags of its reads",
        "what is filled together does not expire together",
    ] {
        assert!(failed.iter().any(|failed| failed == sentence), "{sentence}: {failed:?}");
    }
}

#[test]
fn an_operators_settings_stand_beside_the_entities_of_the_suite() {
    let own = Map::from_iter([("namespace".to_owned(), Value::from("v9"))]);
    let all = configuration(&own);
    assert_eq!(all.settings["namespace"], "v9");
    assert_eq!(all.entities[1].name, "order.list");
}
