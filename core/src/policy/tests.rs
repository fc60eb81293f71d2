use std::format;
use std::string::String;
use std::string::ToString;
use std::vec;

use proptest::prelude::*;

use super::*;
use crate::testing::{arguments, parameters, template, touch};
use crate::{
    Action, Column, ColumnValue, LoadReport, Operation, Query, RowChange, Scope, Way, Write,
};

const TERMS: Terms = Terms {
    ttl_ms: 1_000,
    negative_ttl_ms: 30_000,
    stale_while_revalidate_ms: 0,
    stale_if_error_ms: 0,
};

fn entities() -> Vec<Entity> {
    let tags = ["user:{id}", "user:{id}", "all", "team:{row.team_id}", "u:{id}/{row.role}"];
    let profile = Entity {
        tags: tags.map(template).to_vec(),
        terms: Terms { ttl_ms: 300_000, stale_if_error_ms: 3_600_000, ..TERMS },
        writes: vec![Write {
            name: "rename".into(),
            parameters: parameters(&["id", "name"]),
            way: Way::Refreshed,
            touches: ["user.profile(id)", "tag user:{id}"].map(touch).to_vec(),
        }],
        ..declared("user.profile", &["id"])
    };
    vec![declared("orders", &["user", "page"]), profile]
}

#[test]
fn a_plan_names_a_read_and_what_its_row_must_show() {
    let plan = policy().plan(&entity("user.profile", &[("id", Some("42"))])).unwrap();
    assert_eq!(plan.key.as_str(), "v1:user.profile:42");
    assert_eq!(texts(&plan.tags), ["all", "user:42"]);
    assert_eq!(plan.row_columns, ["team_id", "role"]);
    assert_eq!(plan.memo, Memo { phase: 0, since_ms: 0, terms: 1, note: 0 });
}

#[test]
fn rows_give_their_tags_once() {
    let request = entity("user.profile", &[("id", Some("42"))]);
    let row = |role: &str, team: Option<&str>| vec![team.map(Into::into), Some(role.to_string())];
    let rows = [row("boss", Some("7")), row("boss", Some("7")), row("a b", None), vec![]];
    let tags = policy().row_tags(&request, &rows).unwrap();
    assert_eq!(texts(&tags), ["team:7", "team:~", "u:42/a%20b", "u:42/boss", "u:42/~"]);
}

#[test]
fn a_request_that_does_not_fit_its_entity_is_refused_by_name() {
    let refusal = |name, arguments: &[_]| policy().plan(&entity(name, arguments)).unwrap_err();
    let surplus = |name: &str| Refusal::SurplusArgument(name.into());
    let (id, other) = (("id", Some("1")), ("nick", None));
    assert_eq!(refusal("user", &[id]), Refusal::UnknownEntity);
    assert_eq!(refusal("user.profile", &[]), Refusal::MissingArgument("id".into()));
    assert_eq!(refusal("user.profile", &[id, other]), surplus("nick"));
    assert_eq!(refusal("user.profile", &[id, id]), surplus("id"));
    assert_eq!(refusal("orders", &[("page", None)]), Refusal::MissingArgument("user".into()));
    let request = entity("user.profile", &[id, id]);
    assert_eq!(policy().row_tags(&request, &[]).unwrap_err(), surplus("id"));
    assert_eq!(policy().plan(&query("q", 0, &[id, other, id])).unwrap_err(), surplus("id"));
}

#[test]
fn a_query_keeps_its_lifetime_in_its_memo() {
    for (ttl_ms, base_ms) in [(60_000, 60_000), (5_000, 5_000), (u32::MAX, DURATION_MAX_MS)] {
        let plan = policy().plan(&query("SELECT 1", ttl_ms, &[])).unwrap();
        let Action::Fill(life) = filled(plan.memo) else { panic!("{ttl_ms}: not filled") };
        let (low, high) = (f64::from(base_ms) * 0.79, f64::from(base_ms) * 1.21);
        assert!((low..high).contains(&f64::from(life.fresh_ms)), "{ttl_ms}: {life:?}");
        assert_eq!(life.stale_ms, 0);
    }
}

#[test]
fn a_query_has_the_tags_it_came_with() {
    let mut request = query("SELECT 1", 1_000, &[]);
    if let Subject::Query(query) = &mut request.subject {
        query.tags = vec!["b".into(), "a".into(), "b".into()];
    }
    let plan = policy().plan(&request).unwrap();
    assert!(plan.key.as_str().starts_with("v1:~query:~"));
    assert_eq!(texts(&plan.tags), ["a", "b"]);
}

#[test]
fn a_query_with_other_tags_or_another_lifetime_has_another_key() {
    let key = |ttl_ms, tags: &[&str]| {
        let mut request = query("SELECT 1", ttl_ms, &[]);
        if let Subject::Query(query) = &mut request.subject {
            query.tags = tags.iter().map(|tag| tag.to_string()).collect();
        }
        policy().plan(&request).unwrap().key
    };
    let keys = [key(0, &[]), key(1, &[]), key(0, &["a"]), key(0, &["b"]), key(0, &["a", "b"])];
    assert_eq!(distinct(keys.to_vec()).len(), keys.len());
    assert_eq!(key(0, &["a", "b"]), key(0, &["b", "a", "b"]));
}

#[test]
fn each_entity_is_kept_under_its_own_terms() {
    let memo = |name, arguments: &[_]| policy().plan(&entity(name, arguments)).unwrap().memo;
    let orders = filled(memo("orders", &[("user", None), ("page", None)]));
    let profile = filled(memo("user.profile", &[("id", None)]));
    assert!(matches!(orders, Action::Fill(life) if life.fresh_ms <= 1_200));
    assert!(matches!(profile, Action::Fill(life) if life.fresh_ms >= 240_000));
}

#[test]
fn a_memo_of_another_policy_leads_to_a_load_that_is_not_stored() {
    for terms in [2, QUERIES - 1, QUERIES, u32::MAX] {
        let memo = flight::begin(terms, 0);
        let turn = policy().step(memo, moment(), Event::Absent);
        assert_eq!(turn.action, Action::LoadUncached, "{terms}");
    }
}

#[test]
fn a_change_names_what_it_makes_untrue() {
    let written = Written {
        entity: "user.profile".into(),
        write: "rename".into(),
        arguments: arguments(&[("name", Some("x")), ("id", Some("42"))]),
        rows: vec![],
    };
    let invalidate = |written: Written| policy().invalidate(&Change::Written(written));
    let targets = invalidate(written.clone());
    let read = entity("user.profile", &[("id", Some("42"))]);
    assert_eq!(
        targets,
        [
            Target { scope: Scope::Tag(Tag::given("user:42")), way: Way::Removed },
            Target { scope: Scope::Read(read), way: Way::Refreshed },
        ]
    );
    assert_eq!(invalidate(Written { write: "drop".into(), ..written.clone() }), []);
    assert_eq!(invalidate(Written { entity: "orders".into(), ..written }), []);
}

#[test]
fn a_change_of_the_log_adds_nothing_to_what_the_host_knows() {
    let id = Column { name: "id".into(), value: ColumnValue::Text("42".into()) };
    let rows = vec![RowChange { before: vec![id.clone()], after: vec![id] }];
    let relation = "public.users".into();
    let change = Change::Logged(Logged { relation, operation: Operation::Updated, rows });
    assert_eq!(policy().invalidate(&change), []);
}

#[test]
fn entities_out_of_order_are_refused() {
    let twice = vec![declared("a", &[]), declared("a", &[])];
    let reversed = vec![declared("b", &[]), declared("a", &[])];
    for entities in [twice, reversed] {
        assert!(Policy::<BuiltIn>::configure(entities, "{}").is_err());
    }
}

#[test]
fn it_says_who_it_is() {
    let manifest = Policy::<BuiltIn>::describe();
    assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("default", "0.1.0"));
}

proptest! {
    #[test]
    fn the_order_of_arguments_makes_no_difference(
        user in prop::option::of(any::<String>()),
        page in prop::option::of(any::<String>()),
    ) {
        let (user, page) = (("user", user.as_deref()), ("page", page.as_deref()));
        let key = |request| policy().plan(&request).unwrap().key;
        prop_assert_eq!(
            key(entity("orders", &[user, page])),
            key(entity("orders", &[page, user]))
        );
        prop_assert_eq!(key(query("q", 1, &[user, page])), key(query("q", 1, &[page, user])));
    }

    #[test]
    fn no_request_gets_an_illegal_name(value in any::<String>(), cell in any::<String>()) {
        let request = entity("user.profile", &[("id", Some(&value))]);
        let plan = policy().plan(&request).unwrap();
        let tags = policy().row_tags(&request, &[vec![Some(cell.clone()), Some(cell)]]).unwrap();
        let names = plan.tags.iter().chain(&tags).map(Tag::as_str);
        for name in names.chain([plan.key.as_str()]) {
            let legal = name.bytes().all(|b| b.is_ascii_graphic() && b != b'{' && b != b'}');
            prop_assert!(legal && (1..=512).contains(&name.len()), "{}", name);
        }
    }

    #[test]
    fn no_settings_make_it_panic(text in "\\PC*", value in "[\\[\\]{}:,\"a0. ]*") {
        let _ = Policy::<BuiltIn>::configure(vec![], &text);
        let _ = Policy::<BuiltIn>::configure(vec![], &format!("{{\"jitter\":{value}}}"));
    }
}

fn policy() -> Policy {
    Policy::configure(entities(), "{}").unwrap()
}

/// What a flight that is granted its lease does with what it loaded.
fn filled(memo: Memo) -> Action {
    let report = LoadReport { cost_ms: 0, bytes: 1, negative: false };
    let events = [Event::Absent, Event::LeaseGranted, Event::Loaded(report)];
    let first = Turn { memo, action: Action::Look };
    events.into_iter().fold(first, |turn, event| policy().step(turn.memo, moment(), event)).action
}

fn moment() -> Moment {
    Moment { elapsed_ms: 0, left_ms: 2_000, entropy: 1 }
}

fn entity(name: &str, values: &[(&str, Option<&str>)]) -> Request {
    Request { subject: Subject::Entity(name.into()), arguments: arguments(values) }
}

fn query(sql: &str, ttl_ms: u32, values: &[(&str, Option<&str>)]) -> Request {
    let query = Query { sql: sql.into(), ttl_ms, tags: vec![] };
    Request { subject: Subject::Query(query), arguments: arguments(values) }
}

fn texts(tags: &[Tag]) -> Vec<&str> {
    tags.iter().map(Tag::as_str).collect()
}

fn declared(name: &str, params: &[&str]) -> Entity {
    Entity {
        name: name.into(),
        parameters: parameters(params),
        tags: vec![],
        terms: TERMS,
        writes: vec![],
        depends: vec![],
    }
}
