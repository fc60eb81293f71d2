//! Finds, in a read's program, the functions that answer something else although nothing was
//! written.

use std::collections::BTreeSet;

use super::program::{Instruction, Programs};
use crate::origin::Prepared;

/// Built-in functions that answer something else on each call.
const CHANCE: [&str; 2] = ["random", "randomblob"];

/// The functions that a program has for the keywords of SQL that say what time it is.
const CLOCKS: [&str; 3] = ["current_date", "current_time", "current_timestamp"];

/// Functions that say what time it is if they are given this word. They do so without arguments
/// too, but a program does not show that.
const DATES: [&str; 6] = ["date", "time", "datetime", "julianday", "unixepoch", "strftime"];
const NOW: &str = "now";

/// Adds to `prepared` which of these functions the read calls.
pub(super) fn judge(programs: &Programs, prepared: &mut Prepared) {
    let instructions = || programs.iter().flatten();
    let names_now = instructions().any(|instruction| {
        let text = instruction.p4.as_deref().unwrap_or_default();
        instruction.opcode == "String8" && text.eq_ignore_ascii_case(NOW)
    });
    for name in instructions().filter_map(called).collect::<BTreeSet<_>>() {
        if CHANCE.contains(&name) {
            prepared.complain_of_chance(name);
        } else if CLOCKS.contains(&name) || names_now && DATES.contains(&name) {
            prepared.note_clock(name);
        }
    }
}

/// The function that an instruction calls. Its operand is shown as `name(1)`, with the number of arguments.
fn called(instruction: &Instruction) -> Option<&str> {
    let is_call = ["Function", "PureFunc"].contains(&instruction.opcode.as_str());
    let operand = instruction.p4.as_deref().filter(|_| is_call)?;
    operand.split_once('(').map(|(name, _arguments)| name)
}
