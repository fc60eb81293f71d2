//! Steps that give no answer.

use super::super::testing::{Bent, FILLING, LOADING, found};
use crate::policy::{Event, Trap};

#[test]
fn a_step_that_traps_is_found_with_what_led_to_it() {
    let policy = Bent::stepping(|memo, _, event, turn| {
        let traps = memo.phase == FILLING && event == Event::StoreUnavailable;
        if traps { Err(trap()) } else { Ok(turn) }
    });
    let (message, findings) = found(&policy);
    assert_eq!(message, "after store-unavailable, policy function step: unreachable");
    assert_eq!(findings[0].sequence.len(), 4);
}

#[test]
fn a_load_that_traps_for_rare_entropy_alone_is_found() {
    for rare in [0, u64::MAX, 1 << 40, 1 << 63] {
        let policy = Bent::stepping(move |memo, moment, event, turn| {
            let loaded = memo.phase == LOADING && matches!(event, Event::Loaded(_));
            if loaded && moment.entropy == rare { Err(trap()) } else { Ok(turn) }
        });
        let (message, findings) = found(&policy);
        assert_eq!(message, "after loaded, policy function step: unreachable", "{rare}");
        assert_eq!(findings[0].sequence.len(), 3, "{rare}");
    }
}

fn trap() -> Trap {
    Trap { function: "step", reason: "unreachable".into() }
}
