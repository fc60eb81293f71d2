//! What writes make untrue.

use std::collections::BTreeSet;

use super::keys::NASTY;
use super::{Outcome, named, plan, profile, require};
use crate::policy::{Change, Column, ColumnValue, Decider, RowChange, Scope, Target, Way, Written};

pub(super) fn a_write_removes_the_key_and_the_declared_tag_of_its_reads(
    policy: &dyn Decider,
) -> Outcome {
    for id in NASTY {
        let read = plan(policy, &profile(id))?;
        let touched =
            policy.invalidate(&change("rename", &[("name", Some("x")), ("id", id)], vec![]))?;
        let mut names = BTreeSet::new();
        for target in touched {
            names.insert(match target.scope {
                Scope::Key(name) | Scope::Tag(name) => name,
                Scope::Read(request) => plan(policy, &request)?.key,
            });
        }
        let declared = declared("user:", &read.tags)?;
        for name in [&read.key, declared] {
            require!(names.contains(name), "a write of {id:?} touches {names:?}, and not {name:?}");
        }
    }
    Ok(())
}

pub(super) fn a_write_through_refreshes_reads_and_removes_tags(policy: &dyn Decider) -> Outcome {
    let rows = vec![row(None, Some("b"))];
    let change = change("move", &[("id", Some("42")), ("team", Some("b"))], rows);
    expect(policy, &change, vec![tag("team:b"), read("42", Way::Refreshed)])
}

pub(super) fn a_row_that_moves_touches_where_it_was_and_where_it_is(
    policy: &dyn Decider,
) -> Outcome {
    let rows = vec![row(Some("a"), Some("b")), row(Some("a"), None)];
    let change = change("move", &[("id", Some("42")), ("team", Some("b"))], rows);
    expect(policy, &change, vec![tag("team:a"), tag("team:b"), read("42", Way::Refreshed)])
}

pub(super) fn a_write_that_nobody_declared_touches_nothing(policy: &dyn Decider) -> Outcome {
    let unknown = Written { entity: "nobody".into(), ..written("rename", &[], vec![]) };
    for change in [change("remove", &[("id", Some("42"))], vec![]), Change::Written(unknown)] {
        let targets = policy.invalidate(&change)?;
        require!(targets.is_empty(), "{change:?} touches {targets:?}");
    }
    Ok(())
}

pub(super) fn a_tag_of_a_row_meets_the_tag_that_a_write_removes(policy: &dyn Decider) -> Outcome {
    let request = profile(Some("42"));
    let columns = plan(policy, &request)?.row_columns;
    require!(columns == ["team_id"], "{columns:?}");
    for team in [Some("a"), Some("4:2"), Some("{}"), Some(""), None] {
        let rows = [vec![team.map(str::to_owned)]];
        let Ok(tags) = policy.row_tags(&request, &rows)? else {
            return Err(super::Counterexample(format!("{request:?} was refused")));
        };
        let rows = vec![RowChange { before: vec![], after: vec![team_id(team)] }];
        let change = change("move", &[("id", Some("42")), ("team", team)], rows);
        let touched = policy.invalidate(&change)?;
        let declared = declared("team:", &tags)?;
        require!(touched.contains(&tag(declared)), "{tags:?} and {touched:?}");
    }
    Ok(())
}

/// The only tag that begins like the one that the configuration declares. A policy may give its reads tags of
/// its own beside it, which its writes need not remove.
fn declared<'t>(begins: &str, tags: &'t [String]) -> Outcome<&'t String> {
    let mut declared = tags.iter().filter(|tag| tag.starts_with(begins));
    match (declared.next(), declared.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(super::Counterexample(format!("{tags:?} instead of one tag {begins}…"))),
    }
}

/// Fails if a change leaves out one of these targets. A policy may touch more than the configuration says.
fn expect(policy: &dyn Decider, change: &Change, expected: Vec<Target>) -> Outcome {
    let targets = policy.invalidate(change)?;
    let missing = expected.iter().find(|one| !targets.contains(one));
    require!(missing.is_none(), "{change:?} touches {targets:?}, and not {missing:?}");
    Ok(())
}

fn change(write: &str, arguments: &[(&str, Option<&str>)], rows: Vec<RowChange>) -> Change {
    Change::Written(written(write, arguments, rows))
}

fn written(write: &str, arguments: &[(&str, Option<&str>)], rows: Vec<RowChange>) -> Written {
    let (entity, write) = ("user.profile".into(), write.into());
    Written { entity, write, arguments: named(arguments), rows }
}

fn row(before: Option<&str>, after: Option<&str>) -> RowChange {
    let columns = |team: Option<&str>| team.map(|team| team_id(Some(team))).into_iter().collect();
    RowChange { before: columns(before), after: columns(after) }
}

fn team_id(team: Option<&str>) -> Column {
    let value = team.map_or(ColumnValue::Null, |team| ColumnValue::Text(team.to_owned()));
    Column { name: "team_id".to_owned(), value }
}

fn tag(tag: &str) -> Target {
    Target { scope: Scope::Tag(tag.into()), way: Way::Removed }
}

fn read(id: &str, way: Way) -> Target {
    Target { scope: Scope::Read(profile(Some(id))), way }
}
