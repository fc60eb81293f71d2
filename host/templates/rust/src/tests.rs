//! Native tests of this policy's decisions. `corral policy test policy.wasm` checks the component
//! against what every policy has to do.

use corral_core::{
    Action, Argument, Decisions, Entity, Event, LoadReport, Moment, Parameter, Piece, Plan, Policy,
    Request, Source, Subject, Terms,
};

use super::MyPolicy;

#[test]
fn what_is_cheap_to_load_lives_for_half_of_its_ttl() {
    assert_eq!([0, 9, 10, 500].map(lifetime_ms), [150_000, 150_000, 300_000, 300_000]);
}

#[test]
fn a_read_has_the_key_and_the_tag_that_the_built_in_policy_gives_it() {
    let plan = plan();
    assert_eq!(plan.key.as_str(), "v1:user.profile:42");
    assert_eq!(plan.tags[0].as_str(), "user:42");
}

/// The lifetime of a value whose load took so long.
fn lifetime_ms(cost_ms: u32) -> u32 {
    let loaded = Event::Loaded(LoadReport { cost_ms, bytes: 200, negative: false });
    let (mut memo, mut action) = (plan().memo, Action::Look);
    for event in [Event::Absent, Event::LeaseGranted, loaded] {
        let moment = Moment { elapsed_ms: 1, left_ms: 2_000, entropy: 7 };
        let turn = policy().step(memo, moment, event);
        (memo, action) = (turn.memo, turn.action);
    }
    match action {
        Action::Fill(lifetime) => lifetime.fresh_ms,
        other => panic!("{other:?}"),
    }
}

fn plan() -> Plan {
    let id = Argument { name: "id".into(), value: Some("42".into()) };
    let subject = Subject::Entity("user.profile".into());
    policy().plan(&Request { subject, arguments: vec![id] }).unwrap()
}

fn policy() -> Policy<MyPolicy> {
    let id = Piece::Value(Source::Argument("id".into()));
    let profile = Entity {
        name: "user.profile".into(),
        parameters: vec![Parameter { name: "id".into(), type_name: "int8".into() }],
        tags: vec![vec![Piece::Text("user:".into()), id]],
        terms: Terms {
            ttl_ms: 300_000,
            negative_ttl_ms: 30_000,
            stale_while_revalidate_ms: 0,
            stale_if_error_ms: 0,
        },
        writes: vec![],
        depends: vec![],
    };
    Policy::configure(vec![profile], r#"{"jitter": 0}"#).unwrap()
}
