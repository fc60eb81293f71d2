//! Each decision, overridden.

use std::string::{String, ToString};
use std::vec;

use super::*;
use crate::testing::{arguments, parameters};
use crate::{
    Action, Decisions, Memo, Moment, Policy, Query, Scope, Sighting, Subject, Way, Written,
};

/// Overrides every decision, each in a way that a test can see.
#[derive(Default)]
struct Other {
    answer: u32,
}

impl Rules for Other {
    const SETTINGS: &'static [&'static str] = &["answer"];

    fn manifest() -> Manifest {
        crate::manifest!()
    }

    fn configure(entities: &[Entity], settings: &str) -> Result<Self, Vec<Objection>> {
        if settings.contains("41") {
            return Err(vec![Objection::to_setting("answer", "is wrong")]);
        }
        if entities.iter().any(|entity| entity.name == "odd") {
            return Err(vec![Objection::to_entity("odd", "is odd")]);
        }
        Ok(Self { answer: 42 })
    }

    fn key(&self, _: &Read<'_>, key: Key) -> Key {
        key.under("other")
    }

    fn tags(&self, read: &Read<'_>, tags: &mut Vec<Tag>) {
        if let Some(value) = read.argument("id") {
            tags.push(Tag::with("seen", value));
        }
    }

    fn note(&self, read: &Read<'_>) -> u32 {
        if read.entity.is_some() { self.answer } else { 0 }
    }

    fn noted(&self, note: u32, event: &Event) -> u32 {
        if let Event::Found(seen) = event { seen.age_ms } else { note }
    }

    fn terms(&self, kept: &Kept<'_>) -> Terms {
        Terms { stale_while_revalidate_ms: 500, ..kept.terms }
    }

    fn ttl_ms(&self, kept: &Kept<'_>, load: &LoadReport) -> u32 {
        assert_eq!(kept.terms.stale_while_revalidate_ms, 500);
        load.cost_ms * 1_000 + kept.note
    }

    fn targets(&self, _: &Change, targets: &mut Vec<Target>) {
        targets.push(Target { scope: Scope::Tag(Tag::with("seen", None)), way: Way::Removed });
    }
}

#[test]
fn rules_name_reads_and_tags() {
    let plan = policy().plan(&request(Some("4:2"))).unwrap();
    assert_eq!(plan.key.as_str(), "other:v1:user:4%3A2");
    assert_eq!(plan.tags, [Tag::with("seen", Some("4:2"))]);
    assert_eq!(plan.memo.note, 42);
}

#[test]
fn rules_see_an_ad_hoc_query_as_no_entity() {
    let query = Query { sql: "SELECT 1".into(), ttl_ms: 7, tags: vec![] };
    let request = Request { subject: Subject::Query(query), arguments: vec![] };
    let plan = policy().plan(&request).unwrap();
    assert_eq!((plan.memo.note, plan.tags), (0, vec![]));
    assert!(plan.key.as_str().starts_with("other:v1:~query:~"));
}

#[test]
fn a_note_goes_with_the_flight_to_the_lifetime() {
    let stale = Sighting {
        age_ms: 77,
        refresh_ms: 0,
        fresh_ms: 0,
        past_ms: 600,
        cost_ms: 1,
        negative: false,
    };
    let mut memo = policy().plan(&request(None)).unwrap().memo;
    memo = step(memo, Event::Found(stale)).0;
    memo = step(memo, Event::LeaseGranted).0;
    let report = LoadReport { cost_ms: 3, bytes: 1, negative: false };
    let (memo, action) = step(memo, Event::Loaded(report));
    let Action::Fill(lifetime) = action else { panic!("{action:?}") };
    assert_eq!((memo.note, lifetime.fresh_ms, lifetime.stale_ms), (77, 3_077, 500));
}

#[test]
fn the_absence_of_a_row_lives_as_long_as_the_terms_say() {
    let memo = policy().plan(&request(None)).unwrap().memo;
    let memo = step(step(memo, Event::Absent).0, Event::LeaseGranted).0;
    let absence = LoadReport { cost_ms: u32::MAX, bytes: 0, negative: true };
    let Action::Fill(lifetime) = step(memo, Event::Loaded(absence)).1 else { panic!("no fill") };
    assert_eq!((lifetime.fresh_ms, lifetime.stale_ms), (1_000, 0));
}

#[test]
fn rules_say_for_how_long_a_stale_value_is_answered() {
    let stale = |past_ms| Sighting {
        age_ms: 77,
        refresh_ms: 0,
        fresh_ms: 0,
        past_ms,
        cost_ms: 1,
        negative: false,
    };
    let memo = policy().plan(&request(None)).unwrap().memo;
    assert_eq!(step(memo, Event::Found(stale(499))).1, Action::AnswerAndRefresh);
    assert!(matches!(step(memo, Event::Found(stale(500))).1, Action::Claim(_)));
}

#[test]
fn rules_reach_further_than_what_the_configuration_says() {
    let written =
        Written { entity: "user".into(), write: "unknown".into(), arguments: vec![], rows: vec![] };
    let targets = policy().invalidate(&Change::Written(written));
    assert_eq!(targets.len(), 1);
}

#[test]
fn objections_to_settings_of_both_are_told_at_once() {
    let own = r#"{"answer": 41, "jitter": 7, "unknown": 1}"#;
    let objections = Policy::<Other>::configure(vec![], own).map(|_| ()).unwrap_err();
    let texts: Vec<String> = objections.iter().map(ToString::to_string).collect();
    assert!(texts[0].starts_with("jitter: "), "{texts:?}");
    assert!(texts[1].starts_with("unknown: is unknown here"), "{texts:?}");
    assert_eq!(texts[2], "answer: is wrong");
}

#[test]
fn an_objection_to_an_entity_names_it() {
    let odd = Entity { name: "odd".into(), ..user() };
    let objections = Policy::<Other>::configure(vec![odd], "{}").map(|_| ()).unwrap_err();
    assert_eq!(objections[0].to_string(), "entity odd: is odd");
}

#[test]
fn a_policy_is_called_as_its_crate() {
    let manifest = Policy::<Other>::describe();
    assert_eq!(manifest.name, "corral-core");
    assert_eq!(manifest.version, env!("CARGO_PKG_VERSION"));
}

fn policy() -> Policy<Other> {
    Policy::configure(vec![user()], r#"{"jitter": 0, "early_refresh": 0, "answer": 42}"#).unwrap()
}

fn user() -> Entity {
    Entity {
        name: "user".into(),
        parameters: parameters(&["id"]),
        tags: vec![],
        terms: Terms::of_query(1_000),
        writes: vec![],
        depends: vec![],
    }
}

fn request(id: Option<&str>) -> Request {
    Request { subject: Subject::Entity("user".into()), arguments: arguments(&[("id", id)]) }
}

fn step(memo: Memo, event: Event) -> (Memo, Action) {
    let turn = policy().step(memo, Moment { elapsed_ms: 1, left_ms: 2_000, entropy: 7 }, event);
    (turn.memo, turn.action)
}
