//! Policies that are well-behaved until they meet one argument, which nobody reads before they are
//! in force: no gate can try them all.

use crate::{Argument, Memo, Plan, Refusal, Request, Settings};

/// In [`Memo::since_ms`], which the plain policy does not use: the read is the unlucky one.
const MARK: u32 = 13;

/// The request has this argument.
pub fn is_met(arguments: &[Argument], unlucky: &str) -> bool {
    arguments.iter().any(|argument| argument.value.as_deref() == Some(unlucky))
}

/// The plain plan; the memo of the unlucky read's says so.
///
/// # Errors
/// As [`Settings::plan`].
pub fn plan(settings: &Settings, request: &Request, unlucky: &str) -> Result<Plan, Refusal> {
    let plan = settings.plan(request)?;
    let since_ms = if is_met(&request.arguments, unlucky) { MARK } else { 0 };
    Ok(Plan { memo: Memo { since_ms, ..plan.memo }, ..plan })
}

/// The flight is the unlucky read's.
pub fn is_marked(memo: Memo) -> bool {
    memo.since_ms == MARK
}
