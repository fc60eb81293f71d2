//! Each test changes one known thing and expects exactly that difference in the comparison.

use serde_json::json;

use super::*;
use crate::policy::prove::gate::{Conditions, examine};
use crate::policy::testing::{
    self, Altered, builtin_over as over, builtin_with as with, read_of as read,
};
use crate::policy::{Action, Argument, Event, Piece, Source, Written};

#[test]
fn a_policy_compared_with_itself_does_not_differ() {
    let policy = with(json!({}));
    let comparison = compared(&*policy, &*policy);
    assert!(!comparison.differs(), "{comparison:?}");
    assert!(comparison.lifetimes.is_empty());
    for aspect in [
        Aspect::Answer,
        Aspect::Key,
        Aspect::Tags,
        Aspect::RowTags,
        Aspect::Action,
        Aspect::Lifetime,
        Aspect::Targets,
    ] {
        let compared = comparison.findings.iter().any(|f| f.aspect == aspect && f.compared > 0);
        assert!(compared, "{aspect} was not compared");
    }
}

#[test]
fn another_namespace_renames_every_key_and_nothing_else() {
    let comparison = compared(&*with(json!({})), &*with(json!({"namespace": "v2"})));
    assert_eq!(differing(&comparison), [("item", Aspect::Key, 3), ("list", Aspect::Key, 1)]);
    let example = &finding(&comparison, "item", Aspect::Key).examples[0];
    assert_eq!(example.at, r#"item(id="1")"#);
    assert_eq!((example.old.as_str(), example.new.as_str()), (r#""v1:item:1""#, r#""v2:item:1""#));
    assert!(comparison.lifetimes.is_empty());
}

#[test]
fn another_jitter_moves_lifetimes_and_nothing_else() {
    let comparison = compared(&*with(json!({"jitter": 0.0})), &*with(json!({"jitter": 0.5})));
    let aspects: Vec<Aspect> =
        differing(&comparison).iter().map(|(_, aspect, _)| *aspect).collect();
    assert_eq!(aspects, [Aspect::Lifetime, Aspect::Lifetime], "of both entities");
    let shift = &comparison.lifetimes[0];
    let (old, new) = (shift.old.unwrap().fresh_ms, shift.new.unwrap().fresh_ms);
    assert_eq!((old.mean, old.min, old.max), (60_000, 60_000, 60_000));
    assert!((30_000..31_000).contains(&new.min) && (89_000..=90_000).contains(&new.max), "{new:?}");
    assert!((58_000..62_000).contains(&new.mean), "{new:?}");
}

#[test]
fn a_longer_lifetime_of_one_entity_is_reported_of_that_one() {
    let longer = over(json!({}), |item| item.terms.ttl_ms = 120_000);
    let comparison = compared(&*with(json!({})), &*longer);
    // A row that does not exist has a lifetime of its own, which did not change.
    assert_eq!(differing(&comparison), [("item", Aspect::Lifetime, 1_000)]);
    assert_eq!(comparison.lifetimes.len(), 1);
    assert!(!comparison.lifetimes[0].negative);
}

#[test]
fn a_tag_less_and_a_touch_less_are_reported_where_they_are() {
    let fewer = over(json!({}), |item| _ = item.tags.remove(0));
    let comparison = compared(&*with(json!({})), &*fewer);
    assert_eq!(differing(&comparison), [("item", Aspect::Tags, 3)]);

    let fewer = over(json!({}), |item| item.writes[0].touches.truncate(1));
    let comparison = compared(&*with(json!({})), &*fewer);
    assert_eq!(differing(&comparison), [("item", Aspect::Targets, 1)]);
    let example = &finding(&comparison, "item", Aspect::Targets).examples[0];
    assert!(example.old.contains(r#"removes tag "item:7""#), "{example}");
    assert!(!example.new.contains("tag"), "{example}");
}

#[test]
fn a_row_tag_that_comes_from_another_column_is_reported() {
    let group = Piece::Value(Source::Column("group".to_owned()));
    let other = over(json!({}), |item| item.tags[1][1] = group);
    let comparison = compared(&*with(json!({})), &*other);
    assert_eq!(differing(&comparison), [("item", Aspect::RowTags, 3)]);
    let example = &finding(&comparison, "item", Aspect::RowTags).examples[0];
    assert_eq!(
        (example.old.as_str(), example.new.as_str()),
        (r#"["team:team"]"#, r#"["team:group"]"#)
    );
}

#[test]
fn a_flight_that_ends_otherwise_is_shown_by_the_shortest_sequence() {
    let gives_up = Altered(with(json!({})), |event, turn| match (event, turn.action) {
        (Event::LeaseHeld(_), Action::Wait(_)) => Action::LoadUncached,
        (_, action) => action,
    });
    let comparison = compared(&*with(json!({})), &gives_up);
    let aspects: Vec<Aspect> =
        differing(&comparison).iter().map(|(_, aspect, _)| *aspect).collect();
    assert_eq!(aspects, [Aspect::Action, Aspect::Action]);
    let example = &finding(&comparison, "item", Aspect::Action).examples[0];
    assert_eq!(example.at, "absent → lease-held(250 ms)");
    assert_eq!((example.old.as_str(), example.new.as_str()), ("wait(250 ms)", "load-uncached"));
}

#[test]
fn patience_that_ends_is_found_although_it_takes_many_turns() {
    let comparison = compared(&*with(json!({})), &*with(json!({"patience_ms": 700})));
    let finding = finding(&comparison, "item", Aspect::Action);
    assert!(finding.differing > 0, "{finding:?}");
    assert!(finding.examples[0].at.contains("waited"), "{finding:?}");
}

#[test]
fn a_refusal_of_one_side_is_a_difference_of_the_answer() {
    let questions = Questions { reads: vec![read("list", None)], ..Questions::default() };
    let other = testing::Wat {
        plan: "(i32.store8 (i32.const 1200) (i32.const 1)) (i32.const 1200)",
        ..testing::Wat::default()
    };
    let refuses = examine(&testing::engine(), &other.component(), &Conditions::default()).unwrap();
    let pair = Pair { old: &*with(json!({})), new: &**refuses.pool() };
    let comparison = pair.compare(&questions);
    assert_eq!(differing(&comparison), [("list", Aspect::Answer, 1)]);
    let example = &finding(&comparison, "list", Aspect::Answer).examples[0];
    assert_eq!(example.new, "refused: unknown entity");
}

fn compared(old: &dyn Decider, new: &dyn Decider) -> Comparison {
    let reads = ["1", "2", "30"].map(|id| read("item", Some(id)));
    let id = Argument { name: "id".to_owned(), value: Some("7".to_owned()) };
    let change = Change::Written(Written {
        entity: "item".to_owned(),
        write: "rename".to_owned(),
        arguments: vec![id],
        rows: Vec::new(),
    });
    let questions = Questions {
        reads: reads.into_iter().chain([read("list", None)]).collect(),
        changes: vec![change],
        deadlines_ms: BTreeMap::new(),
        cost_ms: 20,
    };
    Pair { old, new }.compare(&questions)
}

fn differing(comparison: &Comparison) -> Vec<(&str, Aspect, u64)> {
    let differing = comparison.findings.iter().filter(|finding| finding.differing > 0);
    differing.map(|f| (f.entity.as_str(), f.aspect, f.differing)).collect()
}

fn finding<'c>(comparison: &'c Comparison, entity: &str, aspect: Aspect) -> &'c Difference {
    let of = |finding: &&Difference| finding.entity == entity && finding.aspect == aspect;
    comparison.findings.iter().find(of).unwrap()
}
