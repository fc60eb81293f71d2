//! Explorations whose time is over before everything is explored, on machines of any speed: the
//! time is a multiple of what a whole exploration takes here, and one call uses it up.

use std::sync::Once;
use std::time::Duration;

use super::super::explore;
use super::super::testing::{Bent, conditions, explored};
use crate::policy::prove::gate::requests::VALUES;
use crate::policy::prove::gate::{Explored, Stage};
use crate::policy::run::engine::processor_time;

/// How often a sound policy could be explored in the time. So an exploration whose first part is
/// quick finishes that part even on a machine that is slower now than it was a moment ago.
const TIMES: u32 = 10;

/// How far the exploration of a sound policy gets, and [`TIMES`] times what it takes.
fn sound() -> (Explored, Duration) {
    let began = processor_time();
    let learned = explored(&Bent::default()).unwrap();
    (learned.explored, (processor_time() - began) * TIMES)
}

/// Keeps the processor for so long at its first call.
fn once_for(time: Duration) -> impl Fn() + Send + Sync {
    let once = Once::new();
    move || {
        once.call_once(|| {
            let began = processor_time();
            while processor_time() - began < time {
                std::hint::spin_loop();
            }
        });
    }
}

#[test]
fn a_policy_whose_tags_of_rows_there_was_no_time_to_examine_is_refused() {
    let (all, time) = sound();
    let use_up = once_for(time);
    let slow = Bent::tagging(move |_, tags| {
        use_up();
        tags
    });
    let refused = explore([&slow, &slow], &conditions(), time).unwrap_err();
    assert_eq!((refused.stage, refused.findings.len()), (Stage::Behaviour, 0), "{refused}");
    // One entity has tags that depend on the row, and one row was examined.
    let (reads, changes) = (all.reads.of, all.changes.of);
    let only = format!(
        "there was time to examine only {} of {reads} of its reads and 0 of {changes} of its changes;",
        reads - (VALUES.len() - 1)
    );
    assert!(refused.reason.starts_with(&only), "{refused}");
}

#[test]
fn a_policy_whose_changes_there_was_no_time_to_examine_is_refused_though_all_its_reads_were() {
    let (all, time) = sound();
    let use_up = once_for(time);
    let slow = Bent::touching(move |_, targets| {
        use_up();
        targets
    });
    let refused = explore([&slow, &slow], &conditions(), time).unwrap_err();
    assert_eq!((refused.stage, refused.findings.len()), (Stage::Behaviour, 0), "{refused}");
    let (reads, changes) = (all.reads.of, all.changes.of);
    let only = format!(
        "there was time to examine only {reads} of its reads and 1 of {changes} of its changes; give it \
         more with policy.limits.gate, which is "
    );
    assert!(refused.reason.starts_with(&only), "{refused}");
}

#[test]
fn a_policy_whose_flights_there_was_no_time_to_explore_passes_and_says_how_far_they_were() {
    let (all, time) = sound();
    assert_eq!(all.cut_short(), None, "the control");
    let use_up = once_for(time);
    // The flights of the second of three entities begin with this terms number in their memo.
    let slow = Bent::stepping(move |memo, _, _, turn| {
        if memo.terms == 1 {
            use_up();
        }
        Ok(turn)
    });
    let learned = explore([&slow, &slow], &conditions(), time).unwrap();
    let part = learned.explored;
    assert!(!part.complete, "{part:?}");
    assert_eq!((part.reads, part.changes), (all.reads, all.changes));
    assert_eq!((part.machines.done, part.machines.of, part.in_full), (1, 5, 0));
    assert_eq!(part.cut_short(), Some(part));
    let (reads, changes) = (all.reads.of, all.changes.of);
    let far = format!(
        "explored as far as there was time (policy.limits.gate): {reads} reads, {changes} changes, \
         1 of 5 machines, 0 of them in full, "
    );
    assert!(part.to_string().starts_with(&far), "{part}");
}
