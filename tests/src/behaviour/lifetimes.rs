//! How long values live.

use anyhow::{Context as _, Result, bail, ensure};
use corral_host::policy::prove::suite::SuiteFlight;
use corral_host::policy::{Decider, Event, Lifetime, LoadReport};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const DRAWS: usize = 20_000;

pub(super) fn a_base_of_300_s_lives_240_to_360_s_uniformly(policy: &dyn Decider) -> Result<()> {
    const BUCKETS: usize = 12;
    /// χ² with 11 degrees of freedom exceeds this once in a thousand draws, and the draws are the
    /// same in every run.
    const CRITICAL: f64 = 31.26;
    let mut counts = [0_u32; BUCKETS];
    for life in draws(policy, LOADED)? {
        let offset_ms = life.fresh_ms.checked_sub(240_000).filter(|ms| *ms <= 120_000);
        let Some(offset_ms) = offset_ms else { bail!("fresh for {} ms", life.fresh_ms) };
        ensure!(life.stale_ms == 3_600_000, "stale for {} ms", life.stale_ms);
        counts[offset_ms as usize * BUCKETS / 120_001] += 1;
    }
    let expected = DRAWS as f64 / BUCKETS as f64;
    let square = |count: &u32| (f64::from(*count) - expected).powi(2) / expected;
    let chi_square: f64 = counts.iter().map(square).sum();
    ensure!(chi_square < CRITICAL, "χ² is {chi_square}: {counts:?}");
    Ok(())
}

/// The head start of a refresh, in costs of one second: two loads as long as the last one, and 20
/// ms for the rest.
const HEAD_START: f64 = 2.02;

pub(super) fn the_early_refresh_lies_ahead_by_a_head_start_and_an_exponential_of_the_cost(
    policy: &dyn Decider,
) -> Result<()> {
    let ahead = |life: &Lifetime| f64::from(life.fresh_ms - life.refresh_ms) / 1_000.0 - HEAD_START;
    let ahead: Vec<f64> = draws(policy, LOADED)?.iter().map(ahead).collect();
    let mean = ahead.iter().sum::<f64>() / DRAWS as f64;
    ensure!((mean - 1.0).abs() < 0.03, "the mean is {mean} costs");
    for multiple in [0.5, 1.0, 2.0] {
        let share = ahead.iter().filter(|ahead| **ahead > multiple).count() as f64 / DRAWS as f64;
        let expected = (-multiple).exp();
        ensure!((share - expected).abs() < 0.02, "{share} of them beyond {multiple} costs");
    }
    Ok(())
}

pub(super) fn a_value_is_never_due_in_the_first_half_of_its_life(
    policy: &dyn Decider,
) -> Result<()> {
    let dear = LoadReport { cost_ms: u32::MAX, ..LOADED };
    for life in draws(policy, dear)? {
        ensure!((life.fresh_ms / 2..=life.fresh_ms).contains(&life.refresh_ms), "{life:?}");
    }
    Ok(())
}

pub(super) fn a_row_that_does_not_exist_has_the_negative_lifetime(
    policy: &dyn Decider,
) -> Result<()> {
    for life in draws(policy, LoadReport { negative: true, ..LOADED })? {
        ensure!((24_000..=36_000).contains(&life.fresh_ms), "{life:?}");
        ensure!(life.stale_ms == 0 && life.refresh_ms == life.fresh_ms, "{life:?}");
    }
    Ok(())
}

const LOADED: LoadReport = LoadReport { cost_ms: 1_000, bytes: 200, negative: false };

/// The lifetimes that a load gets over a sequence of entropies.
fn draws(policy: &dyn Decider, report: LoadReport) -> Result<Vec<Lifetime>> {
    let mut dice = StdRng::seed_from_u64(1);
    let SuiteFlight { memo, mut moment, .. } = SuiteFlight::loading(policy)?;
    let mut lifetimes = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        moment.entropy = dice.next_u64();
        let action = policy.step(memo, moment, Event::Loaded(report))?.action;
        let lifetime = action.lifetime().with_context(|| format!("a load led to {action:?}"))?;
        lifetimes.push(lifetime);
    }
    Ok(lifetimes)
}
