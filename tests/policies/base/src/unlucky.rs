//! Policies that behave well until they meet one argument, the unlucky one. It is not read before
//! they are in force, and no gate can try all arguments.

use crate::{Argument, Decisions as _, Memo, Plan, Policy, Refusal, Request};

/// The value of [`Memo::note`] for the unlucky read. The built-in policy keeps the note without
/// using it.
const MARK: u32 = 13;

/// Whether a request has the unlucky argument.
pub fn is_met(arguments: &[Argument], unlucky: &str) -> bool {
    arguments.iter().any(|argument| argument.value.as_deref() == Some(unlucky))
}

/// The built-in plan, with [`MARK`] in the memo if the request has the unlucky argument.
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

/// Whether the flight is the unlucky read's.
pub fn is_marked(memo: Memo) -> bool {
    memo.note == MARK
}
