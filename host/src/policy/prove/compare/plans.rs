//! Keys and tags of one read, under both policies.

use crate::policy::{Plan, Refusal, Request, Row, Trap};

use super::ledger::{Aspect, Differences, Example};
use super::{Pair, entity_of, words};

type PlanOrProblem = Result<Result<Plan, Refusal>, Trap>;

/// Compares what both policies answered for `request`.
pub(crate) fn compare(
    ledger: &mut Differences,
    request: &Request,
    old: &PlanOrProblem,
    new: &PlanOrProblem,
) {
    let entity = entity_of(request);
    let example = |old: String, new: String| Example::new(words::request(request), old, new);
    let (Ok(Ok(before)), Ok(Ok(after))) = (old, new) else {
        let (old, new) = (without_plan(old), without_plan(new));
        let difference = (old != new).then(|| example(old, new));
        return ledger.compared(entity, Aspect::Answer, difference);
    };
    ledger.compared(entity, Aspect::Answer, None);
    let renamed = before.key != after.key;
    let key = renamed.then(|| example(format!("{:?}", before.key), format!("{:?}", after.key)));
    ledger.compared(entity, Aspect::Key, key);
    let (old, new) = (sorted(&before.tags), sorted(&after.tags));
    let tags = (old != new).then(|| example(format!("{old:?}"), format!("{new:?}")));
    ledger.compared(entity, Aspect::Tags, tags);
}

/// Compares the tags that both policies give a row, and the columns that they ask for.
pub(super) fn compare_row_tags(
    ledger: &mut Differences,
    pair: Pair<'_>,
    request: &Request,
    old: &PlanOrProblem,
    new: &PlanOrProblem,
) {
    let (Ok(Ok(before)), Ok(Ok(after))) = (old, new) else { return };
    if before.row_columns.is_empty() && after.row_columns.is_empty() {
        return;
    }
    let shown = |policy: &dyn crate::policy::Decider, plan: &Plan| match &plan.row_columns[..] {
        [] => "no column".to_owned(),
        columns => match policy.row_tags(request, &[row(columns)]) {
            Ok(Ok(tags)) => format!("{:?}", sorted(&tags)),
            Ok(Err(refusal)) => words::refusal(&refusal),
            Err(trap) => trap.to_string(),
        },
    };
    let (old, new) = (shown(pair.old, before), shown(pair.new, after));
    let difference = (old != new).then(|| Example::new(words::request(request), old, new));
    ledger.compared(entity_of(request), Aspect::RowTags, difference);
}

/// A row whose columns hold their own names, so that a tag shows which column it was made from.
fn row(columns: &[String]) -> Row {
    columns.iter().cloned().map(Some).collect()
}

fn without_plan(planned: &PlanOrProblem) -> String {
    match planned {
        Ok(Ok(plan)) => format!("key {:?}", plan.key),
        Ok(Err(refusal)) => words::refusal(refusal),
        Err(trap) => trap.to_string(),
    }
}

/// The order of tags means nothing.
fn sorted(tags: &[String]) -> Vec<&String> {
    let mut sorted: Vec<&String> = tags.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}
