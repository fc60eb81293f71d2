use std::string::ToString;
use std::vec;

use super::*;
use crate::testing::{arguments, parameters, touch};
use crate::{RowChange, Terms};

#[test]
fn a_touched_read_gets_the_writes_values_in_the_entitys_order() {
    let write = write(Way::Removed, &["order.list(user, page)"]);
    let targets = targets(&write, &written(&[("page", "2"), ("user", "7")], vec![]));
    assert_eq!(targets, [read("order.list", &[("id", "7"), ("at", "2")], Way::Removed)]);
}

#[test]
fn a_write_through_refreshes_reads_and_removes_tags() {
    let write = write(Way::Refreshed, &["user.profile(user)", "tag user:{user}"]);
    let targets = targets(&write, &written(&[("user", "7")], vec![]));
    let expected = [tag("user:7"), read("user.profile", &[("id", "7")], Way::Refreshed)];
    assert_eq!(targets, expected);
}

#[test]
fn a_row_that_moves_touches_where_it_was_and_where_it_is() {
    let write = write(Way::Removed, &["tag team:{row.team}", "user.profile(row.lead)"]);
    let rows = vec![
        row(&[("team", "a"), ("lead", "1")], &[("team", "b"), ("lead", "1")]),
        row(&[("team", "a")], &[]),
    ];
    let expected =
        [tag("team:a"), tag("team:b"), read("user.profile", &[("id", "1")], Way::Removed)];
    assert_eq!(targets(&write, &written(&[], rows)), expected);
}

#[test]
fn an_old_column_is_what_the_row_was_and_the_others_are_of_either_side() {
    let touches = ["tag team:{old.team}", "tag at:{old.team}:{row.at}", "user.profile(old.lead)"];
    let write = write(Way::Removed, &touches);
    let moved = row(&[("team", "a"), ("lead", "1")], &[("team", "b"), ("at", "x")]);
    let made = row(&[], &[("team", "c"), ("at", "y")]);
    let expected =
        [tag("at:a:x"), tag("team:a"), read("user.profile", &[("id", "1")], Way::Removed)];
    assert_eq!(targets(&write, &written(&[], vec![moved, made])), expected);
}

#[test]
fn what_is_not_known_of_a_row_is_left_out_and_the_rest_is_not() {
    let write = write(Way::Removed, &["tag team:{row.team}", "tag user:{user}"]);
    let rows = vec![row(&[("name", "x")], &[]), row(&[], &[("team", "c")])];
    let targets = targets(&write, &written(&[("user", "7")], rows));
    assert_eq!(targets, [tag("team:c"), tag("user:7")]);
}

#[test]
fn nulls_are_values() {
    let write = write(Way::Removed, &["user.profile(user)", "tag user:{user}"]);
    let mut written = written(&[("user", "")], vec![]);
    written.arguments[0].value = None;
    let mut null = read("user.profile", &[("id", "")], Way::Removed);
    if let Scope::Read(request) = &mut null.scope {
        request.arguments[0].value = None;
    }
    assert_eq!(targets(&write, &written), [tag("user:~"), null]);
}

#[test]
fn what_the_log_did_not_carry_is_not_known_and_null_is() {
    let write = write(Way::Removed, &["tag team:{row.team}"]);
    let side = |value| vec![Column { name: "team".to_string(), value }];
    let rows =
        vec![RowChange { before: side(ColumnValue::Unknown), after: side(ColumnValue::Null) }];
    assert_eq!(targets(&write, &written(&[], rows)), [tag("team:~")]);
}

/// As [`super::targets`], with the entities of these tests.
fn targets(write: &Write, written: &Written) -> Vec<Target> {
    let entities = [("user.profile", vec!["id"]), ("order.list", vec!["id", "at"])];
    let entities = entities.map(|(name, params)| Entity {
        name: name.into(),
        parameters: parameters(&params),
        tags: vec![],
        terms: Terms::of_query(1),
        writes: vec![],
        depends: vec![],
    });
    super::targets(write, written, |name| entities.iter().find(|entity| entity.name == name))
}

fn write(way: Way, touches: &[&str]) -> Write {
    Write {
        name: "rename".into(),
        parameters: parameters(&["user", "page"]),
        way,
        touches: touches.iter().map(|text| touch(text)).collect(),
    }
}

fn written(values: &[(&str, &str)], rows: Vec<RowChange>) -> Written {
    let (entity, write) = ("user.profile".into(), "rename".into());
    Written { entity, write, arguments: named(values), rows }
}

fn row(before: &[(&str, &str)], after: &[(&str, &str)]) -> RowChange {
    let columns = |values: &[(&str, &str)]| {
        let column = |(name, value): &(&str, &str)| Column {
            name: name.to_string(),
            value: ColumnValue::Text(value.to_string()),
        };
        values.iter().map(column).collect()
    };
    RowChange { before: columns(before), after: columns(after) }
}

fn named(values: &[(&str, &str)]) -> Vec<Argument> {
    let values: Vec<_> = values.iter().map(|(name, value)| (*name, Some(*value))).collect();
    arguments(&values)
}

fn read(entity: &str, values: &[(&str, &str)], way: Way) -> Target {
    let subject = Subject::Entity(entity.into());
    Target { scope: Scope::Read(Request { subject, arguments: named(values) }), way }
}

fn tag(text: &str) -> Target {
    Target { scope: Scope::Tag(crate::Tag::given(text)), way: Way::Removed }
}
