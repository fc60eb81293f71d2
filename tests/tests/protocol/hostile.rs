//! Policies that trap, lie and turn in circles: they cost hit ratio, but never a right answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use corral_host::cache::{Via, Why};
use corral_host::policy::{
    Action, Change, Decider, Event, Lifetime, Memo, Moment, Plan, Refusal, Request, Row, Target,
    Trap, Turn,
};
use corral_tests::native::Native;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::host::{Host, version, versions};
use super::scripted::Fills;
use super::world::{Terms, World, soon};

type Step = dyn Fn(Turn, Event) -> Result<Turn, Trap> + Send + Sync;
type Naming = dyn Fn(Plan) -> Result<Result<Plan, Refusal>, Trap> + Send + Sync;
type Touching = dyn Fn() -> Result<Vec<Target>, Trap> + Send + Sync;

/// The default policy with replaced answers.
pub(super) struct Fickle {
    pub(super) native: Native,
    pub(super) step: Option<Box<Step>>,
    pub(super) plan: Option<Box<Naming>>,
    pub(super) invalidate: Option<Box<Touching>>,
}

impl Fickle {
    pub(super) fn over(native: Native) -> Self {
        Self { native, step: None, plan: None, invalidate: None }
    }

    /// Replaces the action of every step.
    fn acting(
        native: Native,
        action: impl Fn(Action, Event) -> Action + Send + Sync + 'static,
    ) -> Arc<Self> {
        let step = move |turn: Turn, event| Ok(Turn { action: action(turn.action, event), ..turn });
        Arc::new(Self { step: Some(Box::new(step)), ..Self::over(native) })
    }
}

impl Decider for Fickle {
    fn plan(&self, request: &Request) -> Result<Result<Plan, Refusal>, Trap> {
        match (self.native.plan(request)?, &self.plan) {
            (Ok(plan), Some(exchange)) => exchange(plan),
            (answer, _) => Ok(answer),
        }
    }

    fn row_tags(
        &self,
        request: &Request,
        rows: &[Row],
    ) -> Result<Result<Vec<String>, Refusal>, Trap> {
        self.native.row_tags(request, rows)
    }

    fn step(&self, memo: Memo, moment: Moment, event: Event) -> Result<Turn, Trap> {
        let turn = self.native.step(memo, moment, event)?;
        self.step.as_ref().map_or(Ok(turn), |exchange| exchange(turn, event))
    }

    fn invalidate(&self, change: &Change) -> Result<Vec<Target>, Trap> {
        self.invalidate.as_ref().map_or_else(|| self.native.invalidate(change), |touch| touch())
    }
}

fn trap(function: &'static str) -> Trap {
    Trap { function, reason: "as the test wants it".into() }
}

#[tokio::test]
async fn a_policy_that_traps_at_every_step_costs_loads_and_no_answer() {
    let world = World::default();
    let step: Box<Step> = Box::new(|_turn, _event| Err(trap("step")));
    let host = world
        .host_with(Arc::new(Fickle { step: Some(step), ..Fickle::over(world.native()) }))
        .await;
    let answer = host.reading().await.unwrap();
    assert_eq!((version(&answer), answer.via), (1, Via::Uncached(Why::Uncached)));
    crowds_read_every_write(&world, &host).await;
    assert_eq!((world.stored().await, host.lane.most_at_once()), (None, 1));
}

#[tokio::test]
async fn a_policy_that_refuses_what_is_declared_costs_loads_and_no_answer() {
    let world = World::default();
    let plan: Box<Naming> = Box::new(|_plan| Ok(Err(Refusal::UnknownEntity)));
    let host = world
        .host_with(Arc::new(Fickle { plan: Some(plan), ..Fickle::over(world.native()) }))
        .await;
    let answer = host.reading().await.unwrap();
    assert_eq!((version(&answer), answer.via), (1, Via::Uncached(Why::Uncached)));
    assert_eq!(world.stored().await, None);
}

#[tokio::test]
async fn a_policy_that_traps_in_the_middle_of_a_flight_gives_its_lease_back() {
    let world = World::new(Terms { lease: Duration::from_secs(60), ..Terms::default() });
    for stop in [Event::LeaseGranted, Event::Filled, Event::FillRejected, Event::Absent] {
        let step: Box<Step> =
            Box::new(move |turn, event| if event == stop { Err(trap("step")) } else { Ok(turn) });
        let policy = Fickle { step: Some(step), ..Fickle::over(world.native()) };
        let host = world.host_with(Arc::new(policy)).await;
        crowds_read_every_write(&world, &host).await;
        host.until_idle().await;
        // Another host finds no lease that would keep it waiting for a minute.
        assert_eq!(world.host().await.read().await, host.read().await, "{stop:?}");
    }
}

#[tokio::test]
async fn a_policy_that_always_answers_the_same_is_harmless_whatever_it_is() {
    for action in every_action() {
        let world = World::new(Terms { deadline: Duration::from_secs(5), ..Terms::default() });
        let host = world.host_with(Fickle::acting(world.native(), move |_, _| action)).await;
        crowds_read_every_write(&world, &host).await;
        is_harmless(&world, &host, &format!("{action:?}"));
    }
}

#[tokio::test]
async fn a_policy_that_answers_at_random_is_harmless() {
    for seed in 0..100 {
        let terms = Terms { deadline: Duration::from_secs(5), ..Terms::default() };
        let world = World::new(terms);
        let dice = Mutex::new(StdRng::seed_from_u64(seed));
        let actions = every_action();
        let host = world
            .host_with(Fickle::acting(world.native(), move |action, _| {
                let mut dice = dice.lock().unwrap();
                // It behaves well half of the time, so that flights reach every stage.
                if dice.random_bool(0.5) {
                    action
                } else {
                    actions[dice.random_range(0..actions.len())]
                }
            }))
            .await;
        crowds_read_every_write(&world, &host).await;
        is_harmless(&world, &host, &format!("seed {seed}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_waits_for_ever_for_a_lease_that_ended_is_stopped() {
    let world = World::default();
    let host = world
        .host_with(Fickle::acting(world.native(), |action, event| match event {
            Event::LeaseHeld(_) | Event::Waited => Action::Wait(1),
            Event::Absent
            | Event::Found(_)
            | Event::Bypassed
            | Event::StoreUnavailable
            | Event::LeaseGranted
            | Event::Loaded(_)
            | Event::LoadFailed(_)
            | Event::Filled
            | Event::FillRejected => action,
        }))
        .await;
    world.take_lease(Duration::from_millis(100)).await;
    assert_eq!(versions(vec![host.spawn_read()]).await, [1]);
}

#[tokio::test]
async fn a_policy_that_looks_and_claims_in_circles_is_stopped() {
    let world = World::default();
    world.plant(1, 60_000).await;
    for circle in [Action::Look, Action::Claim(1_000)] {
        let host = world
            .host_with(Fickle::acting(world.native(), move |action, event| {
                if matches!(event, Event::Loaded(_)) { action } else { circle }
            }))
            .await;
        assert_eq!(host.read().await, 1);
        assert!(host.store.all_calls() < 100, "{} calls", host.store.all_calls());
    }
}

#[tokio::test]
async fn a_lifetime_out_of_bounds_is_not_filled() {
    let lifetimes = [
        Lifetime { fresh_ms: 0, stale_ms: 0, refresh_ms: 0 },
        Lifetime { fresh_ms: 0, stale_ms: 1_000, refresh_ms: 0 },
        Lifetime { fresh_ms: u32::MAX, stale_ms: u32::MAX, refresh_ms: 1 },
        Lifetime { fresh_ms: 1_000, stale_ms: u32::MAX, refresh_ms: 1 },
        Lifetime { fresh_ms: 1_000, stale_ms: 0, refresh_ms: 1_001 },
        Lifetime { fresh_ms: 600_001, stale_ms: 0, refresh_ms: 1 },
    ];
    for lifetime in lifetimes {
        let world = World::default();
        let host = world
            .host_with(Fickle::acting(world.native(), move |action, _| {
                action.lifetime().map_or(action, |_| Action::Fill(lifetime))
            }))
            .await;
        assert_eq!(host.read().await, 1);
        assert_eq!((host.store.fills(), world.stored().await), (Fills::default(), None));
        host.until_idle().await;
        assert_eq!(
            world.host().await.read().await,
            1,
            "the lease was not given back: {lifetime:?}"
        );
    }
}

#[tokio::test]
async fn a_read_without_a_legal_name_is_loaded_and_not_stored() {
    let names = ["", "a b", "{x}", "a\nb", &"x".repeat(513)].map(str::to_owned);
    for name in names {
        let world = World::default();
        let plan: Box<Naming> = Box::new(move |plan| Ok(Ok(Plan { key: name.clone(), ..plan })));
        let policy = Fickle { plan: Some(plan), ..Fickle::over(world.native()) };
        let host = world.host_with(Arc::new(policy)).await;
        for loads in 1..3 {
            let answer = host.reading().await.unwrap();
            assert_eq!((version(&answer), answer.key), (1, None));
            assert_eq!((world.truth.loads(), host.store.all_calls()), (loads, 0));
        }
    }
}

#[tokio::test]
async fn a_policy_that_traps_at_naming_costs_a_load() {
    let world = World::default();
    let plan: Box<Naming> = Box::new(|_plan| Err(trap("plan")));
    let policy = Fickle { plan: Some(plan), ..Fickle::over(world.native()) };
    assert_eq!(world.host_with(Arc::new(policy)).await.read().await, 1);
}

fn every_action() -> Vec<Action> {
    let lifetime =
        |fresh_ms, stale_ms, refresh_ms| Action::Fill(Lifetime { fresh_ms, stale_ms, refresh_ms });
    vec![
        Action::Look,
        Action::Claim(0),
        Action::Claim(60),
        Action::Claim(u32::MAX),
        Action::Wait(0),
        Action::Wait(5),
        Action::Wait(u32::MAX),
        Action::Load,
        Action::LoadUncached,
        lifetime(1_000, 0, 500),
        lifetime(0, 0, 0),
        lifetime(u32::MAX, u32::MAX, u32::MAX),
        Action::Answer,
        Action::AnswerAndRefresh,
        Action::Fail,
    ]
}

/// Readers, with writes in between: each reads what was acknowledged before it began, and in time.
async fn crowds_read_every_write(world: &World, host: &Host) {
    for _ in 0..3 {
        let readings = (0..4).map(|_| host.spawn_read()).collect();
        let oldest = *soon("the crowd", versions(readings)).await.iter().min().unwrap();
        let acknowledged = world.truth.commit() - 1;
        assert!(oldest >= acknowledged, "{oldest} was read after {acknowledged} was written");
        host.invalidate_tag("item:1").await;
    }
}

fn is_harmless(world: &World, host: &Host, what: &str) {
    let Fills { unleased, longest_ms } = host.store.fills();
    assert_eq!(unleased, 0, "{what}");
    assert!(u128::from(longest_ms) <= world.terms.ttl.as_millis() * 10, "{what}: {longest_ms} ms");
}
