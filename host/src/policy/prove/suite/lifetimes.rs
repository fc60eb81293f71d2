//! How long values live.

use std::collections::BTreeSet;

use super::{Counterexample, Outcome, SuiteFlight, require};
use crate::policy::{Decider, Event, Lifetime, LoadReport, Moment};

/// Enough draws to see a distribution, and few enough for an interpreter.
const DRAWS: u64 = 500;

/// The terms of the suite's `user.profile`.
const TTL_MS: u32 = 300_000;
const NEGATIVE_TTL_MS: u32 = 30_000;
const STALE_MS: u32 = 3_600_000;

const LOADED: LoadReport = LoadReport { cost_ms: 20, bytes: 200, negative: false };
const MISSING: LoadReport = LoadReport { cost_ms: 20, bytes: 0, negative: true };

pub(super) fn what_is_filled_together_does_not_expire_together(policy: &dyn Decider) -> Outcome {
    let lives: BTreeSet<u32> = draws(policy, LOADED)?.iter().map(|life| life.fresh_ms).collect();
    let (Some(least), Some(most)) = (lives.first(), lives.last()) else { return Ok(()) };
    let spread = f64::from(most - least) / f64::from(*most);
    let seen = format!("{} lifetimes from {least} to {most} ms", lives.len());
    require!(spread >= 0.1, "{DRAWS} fills had {seen}: less than a tenth apart");
    require!(lives.len() as u64 > DRAWS / 10, "{DRAWS} fills had {seen}: they fall together");
    // About a quarter of the fills lie in each quarter of the range.
    let quarter = (most - least) / 4 + 1;
    for nth in 0..4 {
        let from = least + nth * quarter;
        let share = lives.iter().filter(|ms| (from..from + quarter).contains(ms)).count();
        require!(share * 10 > lives.len(), "of {seen}, {share} in quarter {} of 4", nth + 1);
    }
    Ok(())
}

pub(super) fn a_value_lives_at_most_twice_as_long_as_configured(policy: &dyn Decider) -> Outcome {
    within(policy, LOADED, TTL_MS)
}

pub(super) fn a_row_that_does_not_exist_lives_for_about_the_negative_lifetime(
    policy: &dyn Decider,
) -> Outcome {
    within(policy, MISSING, NEGATIVE_TTL_MS)?;
    for life in draws(policy, MISSING)? {
        require!(life.stale_ms == 0, "that a row did not exist is kept as stale: {life:?}");
    }
    Ok(())
}

pub(super) fn nothing_is_kept_beyond_its_last_stale_answer(policy: &dyn Decider) -> Outcome {
    for life in draws(policy, LOADED)? {
        require!(life.stale_ms <= STALE_MS, "{life:?}; the last window ends after {STALE_MS} ms");
    }
    Ok(())
}

pub(super) fn a_refresh_comes_within_the_lifetime(policy: &dyn Decider) -> Outcome {
    for cost_ms in [0, 20, TTL_MS, u32::MAX] {
        for life in draws(policy, LoadReport { cost_ms, ..LOADED })? {
            let within = (1..=life.fresh_ms).contains(&life.refresh_ms);
            require!(within, "a load of {cost_ms} ms is kept for {life:?}");
        }
    }
    Ok(())
}

pub(super) fn the_same_entropy_gives_the_same_lifetime(policy: &dyn Decider) -> Outcome {
    let (once, again) = (draws(policy, LOADED)?, draws(policy, LOADED)?);
    require!(once == again, "two runs over the same entropy differ");
    Ok(())
}

fn within(policy: &dyn Decider, report: LoadReport, base_ms: u32) -> Outcome {
    for life in draws(policy, report)? {
        require!(
            (1..=base_ms * 2).contains(&life.fresh_ms),
            "a base of {base_ms} ms gave {life:?}"
        );
    }
    Ok(())
}

/// The lifetimes that a load gets over a sequence of entropies.
fn draws(policy: &dyn Decider, report: LoadReport) -> Outcome<Vec<Lifetime>> {
    let SuiteFlight { memo, moment, .. } = SuiteFlight::loading(policy)?;
    // The golden ratio's multiples fall evenly over 64 bits, and so do their high and low bits
    // alone.
    let entropies = (0..DRAWS).map(|nth| nth.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut lives = Vec::new();
    for entropy in entropies.chain([u64::MAX]) {
        let moment = Moment { entropy, ..moment };
        let action = policy.step(memo, moment, Event::Loaded(report))?.action;
        let Some(life) = action.lifetime() else {
            return Err(Counterexample(format!("a load under a lease led to {action:?}")));
        };
        lives.push(life);
    }
    Ok(lives)
}
