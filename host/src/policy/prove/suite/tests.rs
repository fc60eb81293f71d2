use std::sync::Arc;

use super::*;
use crate::policy::prove::gate;
use crate::policy::testing::{Wat, engine};
use crate::policy::{Change, InstancePool, Refusal, Row, Scope, Target, Turn};

#[test]
fn the_built_in_policy_does_all_that_an_author_is_asked_for() {
    let own = Map::new();
    let conditions = gate::Conditions::of(configuration(&own));
    let passed = gate::examine(&engine(), crate::policy::builtin(), &conditions).unwrap();
    for check in CHECKS {
        assert_eq!(check.run(&**passed.pool()), Ok(()), "{}", check.sentence());
    }
}

/// The control: a policy that passes the gate and does as little as a policy can.
#[test]
fn a_policy_that_never_caches_passes_the_gate_and_fails_the_suite_by_name() {
    let passed = Wat::default().passed();
    let failed: Vec<String> = CHECKS
        .iter()
        .filter(|check| check.run(&**passed.pool()).is_err())
        .map(Check::sentence)
        .collect();
    for sentence in [
        "a cold read claims once loads fills and answers",
        "a held lease is waited for and then claimed",
        "a request that does not fit is refused by name",
        "a write removes the key and the declared tag of its reads",
        "what is filled together does not expire together",
    ] {
        assert!(failed.iter().any(|failed| failed == sentence), "{sentence}: {failed:?}");
    }
}

/// What an author may add: a tag of its own, and more that a write touches.
#[test]
fn a_policy_with_a_tag_and_a_target_of_its_own_passes() {
    let plan = |plan: &mut Plan| plan.tags.push("entity:user.profile".to_owned());
    let failed = failed(plan, |targets| targets.push(tag("audit")));
    assert_eq!(failed, <[String; 0]>::default());
}

/// The controls: a declared tag that is spelled in two ways, and writes that leave the key out.
#[test]
fn a_policy_whose_writes_miss_the_declared_tag_or_the_key_fails() {
    let misspelled = |plan: &mut Plan| {
        plan.tags.iter_mut().for_each(|tag| *tag = tag.replace("user:", "person:"));
    };
    assert_eq!(
        failed(misspelled, |_| {}),
        ["a write removes the key and the declared tag of its reads"]
    );
    // A tag of its own that is met does not stand for the declared one.
    let misspelled_beside_its_own = |plan: &mut Plan| {
        plan.tags.iter_mut().for_each(|tag| *tag = tag.replace("user:", "person:"));
        plan.tags.push("audit".to_owned());
    };
    assert_eq!(
        failed(misspelled_beside_its_own, |targets| targets.push(tag("audit"))),
        ["a write removes the key and the declared tag of its reads"]
    );
    let tags_alone = |targets: &mut Vec<Target>| {
        targets.retain(|target| matches!(target.scope, Scope::Tag(_)));
    };
    assert_eq!(
        failed(|_| {}, tags_alone),
        [
            "a write removes the key and the declared tag of its reads",
            "a write through refreshes reads and removes tags",
            "a row that moves touches where it was and where it is",
        ]
    );
}

/// The checks that fail for the built-in policy when its plans of `user.profile` and its targets are changed.
fn failed(plan: fn(&mut Plan), targets: fn(&mut Vec<Target>)) -> Vec<String> {
    let conditions = gate::Conditions::of(configuration(&Map::new()));
    let passed = gate::examine(&engine(), crate::policy::builtin(), &conditions).unwrap();
    let changed = Changed { built_in: Arc::clone(passed.pool()), plan, targets };
    let failed = CHECKS.iter().filter(|check| check.run(&changed).is_err());
    failed.map(Check::sentence).collect()
}

struct Changed {
    built_in: Arc<InstancePool>,
    plan: fn(&mut Plan),
    targets: fn(&mut Vec<Target>),
}

impl Decider for Changed {
    fn plan(&self, request: &Request) -> Result<Result<Plan, Refusal>, Trap> {
        let is_profile = request.subject == Subject::Entity("user.profile".to_owned());
        let mut planned = self.built_in.plan(request)?;
        planned.iter_mut().filter(|_| is_profile).for_each(self.plan);
        Ok(planned)
    }

    fn row_tags(
        &self,
        request: &Request,
        rows: &[Row],
    ) -> Result<Result<Vec<String>, Refusal>, Trap> {
        self.built_in.row_tags(request, rows)
    }

    fn step(&self, memo: Memo, moment: Moment, event: Event) -> Result<Turn, Trap> {
        self.built_in.step(memo, moment, event)
    }

    fn invalidate(&self, change: &Change) -> Result<Vec<Target>, Trap> {
        let mut targets = self.built_in.invalidate(change)?;
        if !targets.is_empty() {
            (self.targets)(&mut targets);
        }
        Ok(targets)
    }
}

fn tag(tag: &str) -> Target {
    Target { scope: Scope::Tag(tag.to_owned()), way: Way::Removed }
}

#[test]
fn an_operators_settings_stand_beside_the_entities_of_the_suite() {
    let own = Map::from_iter([("namespace".to_owned(), Value::from("v9"))]);
    let all = configuration(&own);
    assert_eq!(all.settings["namespace"], "v9");
    assert_eq!(all.entities[1].name, "order.list");
}
