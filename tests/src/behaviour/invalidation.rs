//! What writes make untrue.

use anyhow::{Result, ensure};
use corral_host::policy::{Change, Policy, RowChange, Scope, Target, Way};

use super::{named, plan, profile};

pub(super) fn a_write_removes_what_it_touches(policy: &dyn Policy) -> Result<()> {
    let change = change("rename", &[("name", Some("x")), ("id", Some("42"))], vec![]);
    expect(policy, &change, vec![tag("user:42"), read("42", Way::Removed)])
}

pub(super) fn a_write_through_refreshes_reads_and_removes_tags(policy: &dyn Policy) -> Result<()> {
    let rows = vec![row(None, Some("b"))];
    let change = change("move", &[("id", Some("42")), ("team", Some("b"))], rows);
    expect(policy, &change, vec![tag("team:b"), read("42", Way::Refreshed)])
}

pub(super) fn a_row_that_moves_touches_where_it_was_and_where_it_is(
    policy: &dyn Policy,
) -> Result<()> {
    let rows = vec![row(Some("a"), Some("b")), row(Some("a"), None)];
    let change = change("move", &[("id", Some("42")), ("team", Some("b"))], rows);
    expect(policy, &change, vec![tag("team:a"), tag("team:b"), read("42", Way::Refreshed)])
}

pub(super) fn a_write_that_nobody_declared_touches_nothing(policy: &dyn Policy) -> Result<()> {
    expect(policy, &change("remove", &[("id", Some("42"))], vec![]), vec![])?;
    let unknown = Change { entity: "nobody".into(), ..change("rename", &[], vec![]) };
    expect(policy, &unknown, vec![])
}

pub(super) fn a_tag_of_a_row_meets_the_tag_that_a_write_removes(policy: &dyn Policy) -> Result<()> {
    let request = profile(Some("42"));
    let columns = plan(policy, &request)?.row_columns;
    ensure!(columns == ["team_id"], "{columns:?}");
    for team in [Some("a"), Some("4:2"), Some("{}"), Some(""), None] {
        let rows = [vec![team.map(str::to_owned)]];
        let Ok(tags) = policy.row_tags(&request, &rows)? else { anyhow::bail!("refused") };
        let after = named(&[("team_id", team)]);
        let rows = vec![RowChange { before: vec![], after }];
        let change = change("move", &[("id", Some("42")), ("team", team)], rows);
        let touched = policy.invalidate(&change)?;
        let meets = |tag: &String| touched.contains(&self::tag(tag));
        ensure!(tags.len() == 1 && tags.iter().all(meets), "{tags:?} and {touched:?}");
    }
    Ok(())
}

fn expect(policy: &dyn Policy, change: &Change, expected: Vec<Target>) -> Result<()> {
    let targets = policy.invalidate(change)?;
    ensure!(targets == expected, "{targets:?} instead of {expected:?}");
    Ok(())
}

fn change(write: &str, arguments: &[(&str, Option<&str>)], rows: Vec<RowChange>) -> Change {
    let (entity, write) = ("user.profile".into(), write.into());
    Change { entity, write, arguments: named(arguments), rows }
}

fn row(before: Option<&str>, after: Option<&str>) -> RowChange {
    let columns =
        |team: Option<&str>| team.map_or_else(Vec::new, |team| named(&[("team_id", Some(team))]));
    RowChange { before: columns(before), after: columns(after) }
}

fn tag(tag: &str) -> Target {
    Target { scope: Scope::Tag(tag.into()), way: Way::Removed }
}

fn read(id: &str, way: Way) -> Target {
    Target { scope: Scope::Read(profile(Some(id))), way }
}
