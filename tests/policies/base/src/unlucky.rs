//! Policies that are well-behaved until they meet one argument, which nobody reads before they are
//! in force: no gate can try them all.

use crate::{Argument, Decisions as _, Memo, Plan, Policy, Refusal, Request};

/// In [`Memo::note`], which the built-in policy keeps and makes nothing of: the read is the unlucky
/// one.
const MARK: u32 = 13;

/// The request has this argument.
pub fn is_met(arguments: &[Argument], unlucky: &str) -> bool {
    arguments.iter().any(|argument| argument.value.as_deref() == Some(unlucky))
}

/// The built-in plan; the memo of the unlucky read's says so.
///
/// # Errors
/// As [`Policy::plan`].
pub fn plan(builtin: &Policy, request: &Request, unlucky: &str) -> Result<Plan, Refusal> {
    let mut plan = builtin.plan(request)?;
    if is_met(&request.arguments, unlucky) {
        plan.memo.note = MARK;
    }
    Ok(plan)
}

/// The flight is the unlucky read's.
pub fn is_marked(memo: Memo) -> bool {
    memo.note == MARK
}
