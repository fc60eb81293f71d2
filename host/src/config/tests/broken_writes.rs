//! The problems that are reported of broken writes.

use super::broken::surprise;
use super::parse;

/// What stands before each write below: lines 1 to 5.
const BEFORE_WRITE: &str =
    "[origin]\nurl = 'sqlite:a.db'\n[entity.'user.profile']\nttl = '1s'\nparams = ['id:int8']\n";

/// Writes with one problem each, and that problem.
const ONE_PROBLEM_IN_WRITE: &[(&str, &str)] = &[
    ("{}", ":6:11 entity.\"user.profile\".write.w.sql: missing; write the statement that writes"),
    ("{ sql = ' ; ' }", ":6:19 entity.\"user.profile\".write.w.sql: an empty statement; write SQL"),
    (
        "{ sql = 'x', then = 'write_through' }",
        ":6:31 entity.\"user.profile\".write.w.then: \"write_through\" is not valid; write \
         \"invalidate\" or \"write-through\"; did you mean \"write-through\"?",
    ),
    (
        "{ sql = 'x', touches = ['user.profile'] }",
        ":6:35 entity.\"user.profile\".write.w.touches[0]: \"user.profile\" is no touch; write \
         \"user.profile(id)\" or \"tag user:{id}\"",
    ),
    (
        "{ sql = 'x', touches = ['user.profil(id)'] }",
        ":6:35 entity.\"user.profile\".write.w.touches[0]: no entity \"user.profil\"; did you mean \
         \"user.profile\"?",
    ),
    (
        "{ sql = 'x', touches = ['user.profile()'] }",
        ":6:35 entity.\"user.profile\".write.w.touches[0]: 0 arguments, and the read is \
         user.profile(id)",
    ),
    (
        "{ sql = 'x', touches = ['user.profile(id)'] }",
        ":6:35 entity.\"user.profile\".write.w.touches[0]: \"id\" is no parameter of this write; \
         declare it, or write \"row.id\" for a column that its statement returns",
    ),
    (
        "{ sql = 'x', touches = ['user.profile(row.)'] }",
        ":6:35 entity.\"user.profile\".write.w.touches[0]: \"user.profile(row.)\": row. names no \
         column; write row.team_id",
    ),
    (
        "{ sql = 'x', touches = ['user.profile(row.old.id)'] }",
        ":6:35 entity.\"user.profile\".write.w.touches[0]: {row.old.id} is what the row was; write \
         {old.id}",
    ),
    (
        "{ sql = 'x', touches = 'none' }",
        ":6:34 entity.\"user.profile\".write.w.touches: \"none\" is not valid; write a list such as \
         [\"user.profile(id)\"], or \"nothing\" for a write that makes no read untrue",
    ),
    (
        "{ sql = 'x', allow = ['stale-absense'] }",
        ":6:33 entity.\"user.profile\".write.w.allow[0]: \"stale-absense\" is not valid; write \
         \"unread-tags\", \"stale-absence\", \"stale-moves\" or \"stale-reads\"; did you mean \"stale-absence\"?",
    ),
    (
        "{ sql = 'x', params = ['id:text'], touches = ['user.profile(id)'] }",
        ":6:57 entity.\"user.profile\".write.w.touches[0]: id is text here, and id is int8 in \
         user.profile: the key would be another one; declare it \"id:int8\"",
    ),
    (
        "{ sql = 'x', touches = ['tag user:{id}'] }",
        ":6:35 entity.\"user.profile\".write.w.touches[0]: {id} is no parameter; a column would be \
         {row.id}",
    ),
];

#[test]
fn each_mistake_of_a_write_is_told() {
    let surprises = ONE_PROBLEM_IN_WRITE.iter().filter_map(|(write, expected)| {
        surprise(&format!("{BEFORE_WRITE}write.w = {write}"), expected)
    });
    assert_eq!(surprises.collect::<String>(), "");
    for right in [
        "{ sql = 'x', params = ['id:int8'], touches = ['user.profile(id)', 'tag u:{id}'] }",
        "{ sql = 'x', touches = ['user.profile(row.id)', 'user.profile(old.id)', 'tag u:{old.id}'] }",
        "{ sql = 'x', touches = 'nothing', allow = ['stale-moves'] }",
    ] {
        let read = parse(&format!("{BEFORE_WRITE}write.w = {right}"));
        assert!(read.is_ok(), "{right}: {read:?}");
    }
}
