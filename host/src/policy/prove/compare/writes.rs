//! What one write makes untrue, under both policies.

use crate::policy::{Change, Target, Trap};

use super::ledger::{Aspect, Differences, Example};
use super::words;

/// Compares the targets of `change`; their order means nothing.
pub(crate) fn compare(
    ledger: &mut Differences,
    change: &Change,
    old: &Result<Vec<Target>, Trap>,
    new: &Result<Vec<Target>, Trap>,
) {
    let (Ok(before), Ok(after)) = (old, new) else {
        let differs = old.is_ok() != new.is_ok();
        let difference = differs.then(|| Example::new(words::change(change), told(old), told(new)));
        return ledger.compared(change.about(), Aspect::Answer, difference);
    };
    let differs = words::targets(before) != words::targets(after);
    let difference = differs.then(|| Example::new(words::change(change), told(old), told(new)));
    ledger.compared(change.about(), Aspect::Targets, difference);
}

fn told(answer: &Result<Vec<Target>, Trap>) -> String {
    match answer {
        Ok(targets) if targets.is_empty() => "nothing".to_owned(),
        Ok(targets) => words::targets(targets).join(", "),
        Err(trap) => trap.to_string(),
    }
}
