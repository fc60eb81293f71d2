//! Native tests of this policy's decisions.

use corral_core::{
    Action, Argument, Decisions, Lifetime, Memo, Moment, Parameter, Request, Sighting, Subject,
    Terms, Turn,
};

use super::*;

const SETTINGS: &str = r#"{
    "jitter": 0, "early_refresh": 0,
    "adaptive": {"*": {"least": 0.1, "dear_ms": 100}, "order.list": {"least": 1}}
}"#;

const CHEAP: LoadReport = LoadReport { cost_ms: 0, bytes: 200, negative: false };

#[test]
fn a_value_that_survives_lives_twice_as_long_each_time_up_to_its_ttl() {
    let mut lives = vec![filled("user.profile", None, CHEAP)];
    while lives.len() < 6 {
        let age_ms = lives.last().unwrap().fresh_ms;
        lives.push(filled("user.profile", Some(stale(age_ms)), CHEAP));
    }
    let lives: Vec<u32> = lives.iter().map(|life| life.fresh_ms).collect();
    assert_eq!(lives, [10_000, 20_000, 40_000, 80_000, 100_000, 100_000]);
}

#[test]
fn a_dear_value_lives_longer_from_the_first() {
    let lives = [0, 100, 900, u32::MAX].map(|cost_ms| {
        let report = LoadReport { cost_ms, ..CHEAP };
        filled("user.profile", None, report).fresh_ms
    });
    assert_eq!(lives, [10_000, 55_000, 91_000, 99_999]);
}

#[test]
fn what_was_written_begins_short_again() {
    let old = filled("user.profile", Some(stale(50_000)), CHEAP);
    assert_eq!(old.fresh_ms, 100_000);
    // The write removed it: the next read finds nothing.
    assert_eq!(filled("user.profile", None, CHEAP).fresh_ms, 10_000);
}

#[test]
fn a_refresh_in_the_background_knows_the_age_of_what_it_replaces() {
    let seen = stale(30_000);
    let read = step(begin("user.profile"), Event::Found(seen));
    assert_eq!(read.action, Action::AnswerAndRefresh);
    let claim = step(read.memo, Event::Found(seen));
    let load = step(claim.memo, Event::LeaseGranted);
    let fill = step(load.memo, Event::Loaded(CHEAP));
    assert!(matches!(fill.action, Action::Fill(life) if life.fresh_ms == 60_000));
}

#[test]
fn that_a_row_did_not_exist_says_nothing_of_how_long_rows_survive() {
    let missing = Sighting { negative: true, ..stale(50_000) };
    let life = filled("user.profile", Some(missing), CHEAP);
    assert_eq!(life.fresh_ms, 10_000);
}

#[test]
fn an_entity_can_be_kept_from_adapting() {
    assert_eq!(filled("order.list", None, CHEAP).fresh_ms, 60_000);
}

#[test]
fn what_is_wrong_with_its_settings_is_named() {
    let objected = |settings| {
        let objections = Policy::<Adaptive>::configure(entities(), settings).unwrap_err();
        objections.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let wrong = r#"{"adaptive": {"nobody": {}, "*": {"least": 0}}}"#;
    let rule = "needs `least` above 0, at most 1, and `dear_ms` above 0";
    let both = [format!("adaptive.*: {rule}"), "adaptive.nobody: is no entity".into()];
    assert_eq!(objected(wrong), both);
    let unknown = objected(r#"{"adaptive": {"*": {"most": 1}}}"#);
    assert!(unknown[0].starts_with("adaptive: unknown field `most`"), "{unknown:?}");
}

/// The lifetime that a load gets if the flight found `seen`; `None` if it found nothing.
fn filled(entity: &str, seen: Option<Sighting>, report: LoadReport) -> Lifetime {
    // Beyond every window, so that it has to be loaded.
    let beyond = |seen| Sighting { past_ms: u32::MAX, ..seen };
    let found = seen.map_or(Event::Absent, |seen| Event::Found(beyond(seen)));
    let claim = step(begin(entity), found);
    let load = step(claim.memo, Event::LeaseGranted);
    match step(load.memo, Event::Loaded(report)).action {
        Action::Fill(lifetime) => lifetime,
        other => panic!("{other:?}"),
    }
}

fn stale(age_ms: u32) -> Sighting {
    Sighting { age_ms, refresh_ms: 0, fresh_ms: 0, past_ms: 1, cost_ms: 20, negative: false }
}

fn begin(entity: &str) -> Memo {
    let arguments = vec![Argument { name: "id".into(), value: Some("42".into()) }];
    policy().plan(&Request { subject: Subject::Entity(entity.into()), arguments }).unwrap().memo
}

fn step(memo: Memo, event: Event) -> Turn {
    policy().step(memo, Moment { elapsed_ms: 1, left_ms: 2_000, entropy: 7 }, event)
}

fn policy() -> Policy<Adaptive> {
    Policy::configure(entities(), SETTINGS).unwrap()
}

fn entities() -> Vec<Entity> {
    vec![entity("order.list", 60_000, 0), entity("user.profile", 100_000, 60_000)]
}

fn entity(name: &str, ttl_ms: u32, stale_while_revalidate_ms: u32) -> Entity {
    let negative_ttl_ms = 30_000;
    Entity {
        name: name.into(),
        parameters: vec![Parameter { name: "id".into(), type_name: "int8".into() }],
        tags: vec![],
        terms: Terms { ttl_ms, negative_ttl_ms, stale_while_revalidate_ms, stale_if_error_ms: 0 },
        writes: vec![],
        depends: vec![],
    }
}
