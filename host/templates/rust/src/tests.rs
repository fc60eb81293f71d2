//! What this policy decides, natively. `corral policy test policy.wasm` holds the component to what
//! every policy has to do.

use crate::bindings::exports::corral::policy::types::{
    Action, Argument, Report, RowChange, Scope, Subject,
};

use super::*;

const SETTINGS: &str = r#"{"entities": {"user.profile": {
    "params": ["id"], "ttl_ms": 300000, "tags": ["user:{id}"],
    "writes": {"rename": {"params": ["id", "name"], "touches": ["user.profile(id)", "tag user:{id}"]}}
}}}"#;

const LOADED: Event = Event::Loaded(Report {
    cost_ms: 20,
    bytes: 200,
    negative: false,
});

#[test]
fn two_values_that_look_alike_have_keys_of_their_own() {
    let keys = [Some("42"), Some("42:"), Some("~"), None].map(|id| plan(id).key);
    assert_eq!(
        keys,
        [
            "v1:user.profile:42",
            "v1:user.profile:42%3A",
            "v1:user.profile:%7E",
            "v1:user.profile:~"
        ]
    );
}

#[test]
fn a_cold_read_claims_loads_and_fills_for_the_base_give_or_take_the_jitter() {
    let lifetimes = [0, u64::MAX].map(|entropy| {
        let claim = step(plan(Some("42")).memo, entropy, Event::Absent);
        assert_eq!(claim.action, Action::Claim(1_000));
        let load = step(claim.memo, entropy, Event::LeaseGranted);
        assert_eq!(load.action, Action::Load);
        match step(load.memo, entropy, LOADED).action {
            Action::Fill(lifetime) => lifetime.fresh_ms,
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(lifetimes, [240_000, 360_000]);
}

#[test]
fn a_held_lease_is_waited_for() {
    let claim = step(plan(Some("42")).memo, 0, Event::Absent);
    let wait = step(claim.memo, 0, Event::LeaseHeld(700));
    assert_eq!(wait.action, Action::Wait(700));
    assert_eq!(
        step(wait.memo, 0, Event::Waited).action,
        Action::Claim(1_000)
    );
}

#[test]
fn a_write_touches_what_the_configuration_says() {
    let arguments = vec![argument("id", Some("42")), argument("name", Some("x"))];
    let rows: Vec<RowChange> = Vec::new();
    let (entity, write) = ("user.profile".into(), "rename".into());
    let change = Change {
        entity,
        write,
        arguments,
        rows,
    };
    let targets = invalidation::targets(&settings(), &change);
    let scopes: Vec<Scope> = targets.into_iter().map(|target| target.scope).collect();
    assert_eq!(
        scopes,
        [
            Scope::Read(request(Some("42"))),
            Scope::Tag("user:42".into())
        ]
    );
}

fn settings() -> Settings {
    Settings::try_new(SETTINGS).unwrap()
}

fn plan(id: Option<&str>) -> Plan {
    naming::plan(&settings(), &request(id)).unwrap()
}

fn step(memo: Memo, entropy: u64, event: Event) -> Turn {
    flight::step(
        &settings(),
        memo,
        Moment {
            elapsed_ms: 1,
            left_ms: 2_000,
            entropy,
        },
        event,
    )
}

fn request(id: Option<&str>) -> Request {
    Request {
        subject: Subject::Entity("user.profile".into()),
        arguments: vec![argument("id", id)],
    }
}

fn argument(name: &str, value: Option<&str>) -> Argument {
    Argument {
        name: name.into(),
        value: value.map(str::to_owned),
    }
}
