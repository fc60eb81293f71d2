//! What a decision of a policy costs through the component, in any language.

use std::hint::black_box;
use std::time::Instant;

use corral_host::policy::prove::suite::SuiteFlight;
use corral_host::policy::{Argument, Decider, Event, Moment, Request, Sighting, Subject};
use serde::Serialize;

use super::median;

/// How often the calls are timed, and how many calls each time.
const ROUNDS: usize = 11;
const CALLS: u32 = 200;

/// Medians, in microseconds for each call.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cost {
    /// `step`, on a fresh value: all that a hit costs once its plan is remembered.
    pub step_us: f64,
    /// `plan`, of an entity with one parameter.
    pub plan_us: f64,
}

/// Times a policy that is configured with the suite's settings.
///
/// # Errors
/// When it traps.
pub fn of(policy: &dyn Decider) -> anyhow::Result<Cost> {
    let SuiteFlight { memo, moment, .. } = SuiteFlight::of(policy)?;
    let fresh = Event::Found(Sighting {
        age_ms: 1_000,
        refresh_ms: 200_000,
        fresh_ms: 250_000,
        past_ms: 0,
        cost_ms: 20,
        negative: false,
    });
    let argument = Argument { name: "id".into(), value: Some("42".into()) };
    let subject = Subject::Entity("user.profile".into());
    let request = Request { subject, arguments: vec![argument] };
    let step_us = timed(|nth| {
        let moment = Moment { entropy: u64::from(nth), ..moment };
        policy.step(black_box(memo), moment, fresh).map(drop)
    })?;
    let plan_us = timed(|_| policy.plan(black_box(&request)).map(drop))?;
    Ok(Cost { step_us, plan_us })
}

fn timed<E>(call: impl Fn(u32) -> Result<(), E>) -> Result<f64, E> {
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for nth in 0..CALLS {
            call(nth)?;
        }
        rounds.push(began.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS));
    }
    Ok((median(rounds) * 100.0).round() / 100.0)
}
