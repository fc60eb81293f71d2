//! Bad policies, built for real, are refused or rolled back under load; the command `scenario
//! policies` tries them at full size.

// The exemption for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use corral_host::policy::gate::{self, EntityShape, Terms};
use corral_host::policy::{
    Argument, Change, Engine, Limits, Policy as _, Pool, Request, RowChange, Subject, builtin,
};
use corral_tests::policies::component;
use corral_tests::scenario::policies::{self, CASES};

/// Two parameters, tags of the request and of the row, and a write that touches all of them.
const SETTINGS: &str = r#"{"entities": {"item": {
    "params": ["id", "part"], "ttl_ms": 60000, "tags": ["item:{id}", "team:{row.team}"],
    "writes": {"put": {"params": ["part", "id"], "touches":
        ["item(id, part)", "item(row.id, part)", "tag item:{id}", "tag team:{row.team}"]}}}}}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bad_policy_fails_a_request_or_makes_one_stale() {
    let report = policies::run(CASES, |_| {}).await.unwrap();
    println!("{report}");
    report.expect().unwrap();
    assert!(report.lines.len() >= 12, "{report}");
}

/// What the scenarios exchange must differ in lifetimes alone, or in names alone.
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
            let tags = |policy: &Pool| policy.row_tags(&request, &rows).unwrap().unwrap();
            assert_eq!(tags(&default), tags(&alike));
            let targets = |policy: &Pool| {
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
    let after = arguments(&[("id", part), ("team", id)]);
    Change {
        entity: "item".into(),
        write: "put".into(),
        arguments: arguments(&[("part", part), ("id", id)]),
        rows: vec![RowChange { before: Vec::new(), after }],
    }
}

fn arguments(pairs: &[(&str, Option<&str>)]) -> Vec<Argument> {
    let argument = |(name, value): &(&str, Option<&str>)| Argument {
        name: (*name).into(),
        value: value.map(str::to_owned),
    };
    pairs.iter().map(argument).collect()
}

fn passed(bytes: &[u8]) -> Arc<Pool> {
    let engine = Engine::new(Limits::default()).unwrap();
    let terms = Terms::new(SETTINGS, vec![EntityShape::new("item", &["id", "part"])]);
    Arc::clone(gate::examine(&engine, bytes, &terms).unwrap().pool())
}
