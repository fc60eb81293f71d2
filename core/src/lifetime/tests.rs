use std::vec::Vec;

use super::*;

const DRAWS: u64 = 100_000;

const TERMS: Terms = Terms {
    ttl_ms: 300_000,
    stale_while_revalidate_ms: 60_000,
    stale_if_error_ms: 3_600_000,
    negative_ttl_ms: 30_000,
};

const SPREAD: LifetimeDraw = LifetimeDraw { jitter: 0.2, early_refresh: 1.0 };

#[test]
fn lifetimes_are_uniform_over_the_whole_of_base_plus_and_minus_jitter() {
    let lives: Vec<u32> = lives(DRAWS).collect();
    let (shortest, longest) = (lives.iter().min().unwrap(), lives.iter().max().unwrap());
    assert!((240_000..240_010).contains(shortest), "{shortest}");
    assert!((359_990..=360_000).contains(longest), "{longest}");
    let chi_square = chi_square(lives.into_iter());
    assert!(chi_square < CRITICAL, "{chi_square}");
}

#[test]
fn the_test_of_uniformity_rejects_what_is_not_uniform() {
    let two_dice = lives(DRAWS).zip(lives(2 * DRAWS).skip(DRAWS as usize));
    assert!(chi_square(two_dice.map(|(a, b)| a.midpoint(b))) > CRITICAL);
    assert!(chi_square(lives(DRAWS).map(|life| life.min(350_000))) > CRITICAL);
    let slope = lives(DRAWS).zip(0_u32..);
    let slope = slope.map(|(life, i)| if i % 20 == 0 { life.max(300_000) } else { life });
    assert!(chi_square(slope) > CRITICAL);
}

#[test]
fn both_ends_of_a_small_range_are_drawn() {
    let drawn = |base_ms, jitter| {
        let mut seen: Vec<u32> = (0..200).map(|i| Dice::new(i).around(base_ms, jitter)).collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    };
    assert_eq!(drawn(10, 0.2), [8, 9, 10, 11, 12]);
    assert_eq!(drawn(10, 0.0), [10]);
    assert_eq!(drawn(1, 0.9), [1]);
    assert_eq!(drawn(0, 0.9), [1]);
    assert!(drawn(DURATION_MAX_MS, 0.65).iter().all(|ms| *ms < u32::MAX));
    assert!(drawn(DURATION_MAX_MS, JITTER_MAX).contains(&u32::MAX));
}

#[test]
fn the_refresh_point_lies_ahead_by_a_head_start_and_an_exponential_of_the_cost() {
    let cost_ms = 1_000;
    let ahead: Vec<f64> = (0..DRAWS)
        .map(|entropy| draw(&TERMS, &SPREAD, report(cost_ms), entropy))
        .map(|life| f64::from(life.fresh_ms - life.refresh_ms) - HEAD_START_MS)
        .map(|ahead_ms| ahead_ms / f64::from(cost_ms) - HEAD_START_LOADS)
        .collect();
    let mean = ahead.iter().sum::<f64>() / DRAWS as f64;
    assert!((mean - 1.0).abs() < 0.02, "{mean}");
    for multiple in [0.5, 1.0, 2.0, 4.0] {
        let share = ahead.iter().filter(|a| **a > multiple).count() as f64 / DRAWS as f64;
        assert!((share - libm::exp(-multiple)).abs() < 0.01, "{share} beyond {multiple}");
    }
}

#[test]
fn a_value_is_never_due_in_the_first_half_of_its_life() {
    for cost_ms in [0, 1, 300_000, u32::MAX] {
        for entropy in 0..1_000 {
            let life = draw(&TERMS, &SPREAD, report(cost_ms), entropy);
            assert!(life.refresh_ms <= life.fresh_ms);
            assert!(life.refresh_ms >= life.fresh_ms / 2 && life.refresh_ms > 0);
        }
    }
    assert_eq!(refresh_point(1, f64::INFINITY), 1);
}

#[test]
fn a_load_that_takes_twice_as_long_as_the_last_one_ends_in_time() {
    for cost_ms in [0, 1, 50, 5_000] {
        for entropy in 0..10_000 {
            let life = draw(&TERMS, &SPREAD, report(cost_ms), entropy);
            assert!(life.fresh_ms - life.refresh_ms >= 2 * cost_ms + 20, "{life:?}");
        }
    }
}

#[test]
fn without_beta_nothing_is_early() {
    let spread = LifetimeDraw { early_refresh: 0.0, ..SPREAD };
    let life = draw(&TERMS, &spread, report(u32::MAX), 7);
    assert_eq!(life.refresh_ms, life.fresh_ms);
}

#[test]
fn a_negative_is_short_jittered_and_never_stale() {
    let report = LoadReport { negative: true, ..report(1_000) };
    let lives: Vec<Lifetime> = (0..1_000).map(|i| draw(&TERMS, &SPREAD, report, i)).collect();
    assert!(lives.iter().all(|life| (24_000..=36_000).contains(&life.fresh_ms)));
    assert!(lives.iter().all(|life| life.stale_ms == 0 && life.refresh_ms == life.fresh_ms));
    assert!(lives.iter().any(|life| life.fresh_ms != lives[0].fresh_ms));
}

#[test]
fn a_value_is_kept_for_the_longer_of_its_stale_windows() {
    assert_eq!(draw(&TERMS, &SPREAD, report(1), 1).stale_ms, 3_600_000);
    let terms = Terms { stale_if_error_ms: 0, ..TERMS };
    assert_eq!(draw(&terms, &SPREAD, report(1), 1).stale_ms, 60_000);
}

#[test]
fn the_same_entropy_gives_the_same_lifetime_for_ever() {
    let life = draw(&TERMS, &SPREAD, report(1_000), 42);
    // Calculated apart from this code, from the generator's specification.
    assert_eq!((life.fresh_ms, life.refresh_ms), (337_717, 334_554));
}

/// Bins of the chi-square test.
const BINS: usize = 100;

/// What chi-square with 99 degrees of freedom exceeds once in a hundred thousand times.
const CRITICAL: f64 = 171.0;

fn chi_square(lives: impl Iterator<Item = u32>) -> f64 {
    let mut bins = [0_u32; BINS];
    let mut count = 0;
    for life_ms in lives {
        bins[(life_ms - 240_000) as usize * BINS / 120_001] += 1;
        count += 1;
    }
    let expected = f64::from(count) / BINS as f64;
    bins.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum()
}

fn lives(count: u64) -> impl Iterator<Item = u32> {
    (0..count).map(|entropy| draw(&TERMS, &SPREAD, report(0), entropy).fresh_ms)
}

fn report(cost_ms: u32) -> LoadReport {
    LoadReport { cost_ms, bytes: 100, negative: false }
}
