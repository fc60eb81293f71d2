use async_trait::async_trait;

use super::*;

const LOAD: Duration = Duration::from_millis(100);

struct Slow;

#[async_trait]
impl Loader for Slow {
    async fn load(&self, _: &[Value], _: &[String], _: Duration) -> Result<Fetched, OriginError> {
        tokio::time::sleep(LOAD).await;
        Ok(Fetched::default())
    }
}

/// A loader that never ends by itself.
struct Stuck;

#[async_trait]
impl Loader for Stuck {
    async fn load(&self, _: &[Value], _: &[String], _: Duration) -> Result<Fetched, OriginError> {
        std::future::pending().await
    }
}

/// What the observer of a load was told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    begun: bool,
    overdue: bool,
}

impl LoadObserver for Heard {
    fn begun(&mut self) {
        self.begun = true;
    }

    fn overdue(&mut self) {
        self.overdue = true;
    }
}

fn limited(at_once: usize) -> Arc<Loads> {
    Loads::new(LoadLimit { at_once, is_shared: false })
}

fn shared(at_once: usize) -> Arc<Loads> {
    Loads::new(LoadLimit { at_once, is_shared: true })
}

fn waiting<'a>(entity: &'a str, loader: &'a dyn Loader, deadline: Instant) -> WaitingLoad<'a> {
    let limit = Limit { deadline, end: deadline };
    WaitingLoad { entity, loader, values: &[], columns: &[], limit, last: None }
}

/// Begins loads together, with a deadline of three and a half loads; for each, whether it was
/// loaded and how long it took.
async fn together(loads: &Arc<Loads>, count: usize) -> Vec<(bool, Duration)> {
    let began = Instant::now();
    let deadline = began + LOAD * 7 / 2;
    let one = || async {
        let loaded = loads.run(waiting("item", &Slow, deadline), &mut Heard::default()).await;
        (loaded.is_ok(), began.elapsed())
    };
    futures_util::future::join_all((0..count).map(|_| one())).await
}

/// Begins loads of an entity that do not end for an hour; returns how many of them run.
async fn saturate(loads: &Arc<Loads>, entity: &'static str, count: usize) -> u32 {
    for _ in 0..count {
        let (loads, hour) = (Arc::clone(loads), Instant::now() + Duration::from_secs(3_600));
        tokio::spawn(async move {
            loads.run(waiting(entity, &Stuck, hour), &mut Heard::default()).await
        });
    }
    tokio::task::yield_now().await;
    loads.lock().entities.get(entity).map_or(0, |share| share.running)
}

#[tokio::test(start_paused = true)]
async fn whose_turn_would_come_too_late_is_refused_at_once() {
    let loads = limited(1);
    assert!(together(&loads, 1).await[0].0, "the first load teaches how long one takes");
    let ends = together(&loads, 8).await;
    let (loaded, refused): (Vec<_>, Vec<_>) = ends.iter().partition(|(loaded, _)| *loaded);
    assert_eq!(loaded.len(), 3, "{ends:?}");
    // The fourth load would have ended after the deadline.
    assert!(refused.iter().filter(|(_, took)| took.is_zero()).count() >= 4, "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn without_experience_everybody_waits_until_the_deadline() {
    let ends = together(&limited(1), 8).await;
    assert!(ends.iter().all(|(_, took)| !took.is_zero()), "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn who_gave_up_makes_room_in_the_queue() {
    let loads = limited(1);
    together(&loads, 1).await;
    drop(tokio::time::timeout(LOAD / 2, together(&loads, 8)).await);
    assert!(together(&loads, 1).await[0].0);
    let state = loads.lock();
    assert_eq!((state.free, state.entities["item"].running), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_saturated_entity_leaves_places_and_its_queue_is_nobody_elses() {
    let loads = shared(4);
    assert_eq!(saturate(&loads, "slow", 8).await, 2);
    let ends = together(&loads, 2).await;
    assert_eq!(ends, [(true, LOAD), (true, LOAD * 2)], "one place at a time, with one left");
    assert_eq!(saturate(&loads, "slower", 8).await, 1);
    assert_eq!(together(&loads, 1).await, [(true, LOAD)]);
}

/// Control: without shares the others find no place.
#[tokio::test(start_paused = true)]
async fn without_shares_a_saturated_entity_takes_every_place() {
    let loads = limited(4);
    assert_eq!(saturate(&loads, "slow", 8).await, 4);
    assert!(!together(&loads, 1).await[0].0);
}

/// A reload may bring another entity, or take the only other one away.
#[tokio::test(start_paused = true)]
async fn an_entity_leaves_places_once_it_is_not_alone_any_more() {
    let (alone, shared) = (limited(4), shared(4));
    alone.share(true);
    assert_eq!(saturate(&alone, "slow", 8).await, 2);
    shared.share(false);
    assert_eq!(saturate(&shared, "slow", 8).await, 4);
}

#[tokio::test(start_paused = true)]
async fn an_entity_that_is_alone_has_every_place() {
    assert_eq!(saturate(&limited(4), "slow", 8).await, 4);
}

#[tokio::test(start_paused = true)]
async fn what_becomes_free_goes_to_who_has_least() {
    let loads = shared(2);
    assert_eq!(saturate(&loads, "slow", 4).await, 1);
    let deadline = Instant::now() + LOAD * 10;
    let (mut one, mut other) = (Heard::default(), Heard::default());
    let first = loads.run(waiting("a", &Slow, deadline), &mut one);
    let second = loads.run(waiting("b", &Slow, deadline), &mut other);
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(loads.lock().entities["slow"].running, 1);
}

/// Begins loads together, for readers that need the value in half of the time that a load takes;
/// for each load, whether it brought a value and what its observer was told.
async fn overdue(loads: &Arc<Loads>, count: usize) -> Vec<(bool, Heard)> {
    let by = |time: Duration| Limit { deadline: Instant::now() + time, end: Instant::now() + time };
    let one = || async {
        let mut heard = Heard::default();
        let load = WaitingLoad {
            limit: by(LOAD / 2),
            last: Some(by(LOAD * 2)),
            ..waiting("item", &Slow, Instant::now())
        };
        let loaded = loads.run(load, &mut heard).await;
        (loaded.is_ok(), heard)
    };
    futures_util::future::join_all((0..count).map(|_| one())).await
}

#[tokio::test(start_paused = true)]
async fn a_load_outlasts_its_readers_on_a_quarter_of_the_places() {
    let loads = limited(8);
    let ended = || (false, Heard { begun: true, overdue: false });
    let lasted = || (true, Heard { begun: true, overdue: true });
    for _ in 0..2 {
        let ends = overdue(&loads, 4).await;
        assert_eq!(ends, [lasted(), lasted(), ended(), ended()]);
    }
}
