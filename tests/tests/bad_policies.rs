//! Bad policies, built for real, are refused or rolled back under load. The command `scenario
//! policies` tries them at full size.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use corral_host::policy::prove::gate::{self, Conditions};
use corral_host::policy::{
    Argument, Change, Column, ColumnValue, Decider as _, Engine, InstancePool, Limits, Request,
    RowChange, Subject, Terms, Way, Written, builtin,
};
use corral_tests::declared;
use corral_tests::policies::component;
use corral_tests::scenario::policies::{self, CASES};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bad_policy_fails_a_request_or_makes_one_stale() {
    let report = policies::run(CASES, |_| {}).await.unwrap();
    println!("{report}");
    report.expect().unwrap();
    assert!(report.lines.len() >= 12, "{report}");
}

/// The policies that the scenarios exchange must differ only in lifetimes, or only in names.
#[test]
fn the_policies_that_are_exchanged_name_reads_as_the_default_one_does_but_for_one() {
    let default = passed(builtin());
    let alike = passed(&component("good/short-lived").unwrap());
    let renamed = passed(&component("good/renamed").unwrap());
    let (long, longer) = ("x".repeat(300), "x".repeat(10_000));
    let texts = ["42", "", "~", "42:admin", "%3A", "a b", "{x}", "\n", "\u{e9}", &long, &longer];
    let values: Vec<Option<&str>> = texts.into_iter().map(Some).chain([None]).collect();
    for id in &values {
        for part in &values {
            let arguments = arguments(&[("id", *id), ("part", *part)]);
            let request = Request { subject: Subject::Entity("item".into()), arguments };
            let plan = default.plan(&request).unwrap().unwrap();
            let same = alike.plan(&request).unwrap().unwrap();
            assert_eq!((&plan.key, &plan.tags), (&same.key, &same.tags));
            assert_eq!(plan.row_columns, same.row_columns);
            assert_ne!(plan.key, renamed.plan(&request).unwrap().unwrap().key);
            let rows = [vec![id.map(str::to_owned)]];
            let tags = |policy: &InstancePool| policy.row_tags(&request, &rows).unwrap().unwrap();
            assert_eq!(tags(&default), tags(&alike));
            let targets = |policy: &InstancePool| {
                let mut targets = policy.invalidate(&change(*id, *part)).unwrap();
                targets.sort_by_key(|target| format!("{target:?}"));
                targets.dedup();
                targets
            };
            assert_eq!(targets(&default), targets(&alike));
        }
    }
}

fn change(id: Option<&str>, part: Option<&str>) -> Change {
    let column = |name: &str, value: Option<&str>| Column {
        name: name.to_owned(),
        value: value.map_or(ColumnValue::Null, |text| ColumnValue::Text(text.to_owned())),
    };
    let after = vec![column("id", part), column("team", id)];
    Change::Written(Written {
        entity: "item".into(),
        write: "put".into(),
        arguments: arguments(&[("part", part), ("id", id)]),
        rows: vec![RowChange { before: Vec::new(), after }],
    })
}

fn arguments(pairs: &[(&str, Option<&str>)]) -> Vec<Argument> {
    let argument = |(name, value): &(&str, Option<&str>)| Argument {
        name: (*name).into(),
        value: value.map(str::to_owned),
    };
    pairs.iter().map(argument).collect()
}

/// Examined with two parameters, tags of the request and of the row, and a write that touches all
/// of them.
fn passed(bytes: &[u8]) -> Arc<InstancePool> {
    let engine = Engine::new(Limits::default()).unwrap();
    let tags = ["item:{id}", "team:{row.team}"];
    let touches = ["item(id, part)", "item(row.id, part)", "tag item:{id}", "tag team:{row.team}"];
    let mut item = declared::entity("item", &["id", "part"], &tags, Terms::of_query(60_000));
    item.writes = vec![declared::write("put", &["part", "id"], Way::Removed, &touches)];
    let conditions = Conditions::of(declared::configuration(vec![item], Value::Null));
    Arc::clone(gate::examine(&engine, bytes, &conditions).unwrap().pool())
}
