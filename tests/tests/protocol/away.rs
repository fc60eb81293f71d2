//! An origin that does not answer, and readers that may have a stale value meanwhile.

use std::time::Duration;

use corral_host::cache::{ReadError, Via};
use corral_tests::servers::until;

use super::host::{Host, version};
use super::truth::Ending;
use super::world::{Terms, World, soon};

/// A deadline so long that no test waits for it.
const LONG: Duration = Duration::from_secs(60);

fn tolerant() -> Terms {
    Terms { stale_if_error: Duration::from_secs(60), deadline: LONG, ..Terms::default() }
}

/// A host with a stale value at hand, whose last load failed because the origin did not answer.
async fn away(world: &World) -> Host {
    let host = world.host().await;
    world.plant(7, -1_000).await;
    world.truth.end_with(Ending::Failure);
    let answer = host.reading().await.unwrap();
    assert_eq!((version(&answer), answer.via), (7, Via::StaleIfError));
    assert_eq!(world.truth.loads(), 1);
    host
}

#[tokio::test]
async fn while_loads_fail_a_stale_value_is_answered_and_no_load_is_waited_for() {
    let world = World::new(tolerant());
    let host = away(&world).await;
    // A reader that waits for one of these loads waits for a minute.
    world.truth.end_with(Ending::Never);
    soon("a probe", async {
        while world.truth.loads() < 2 {
            let answer = host.reading().await.unwrap();
            assert_eq!((version(&answer), answer.via), (7, Via::StaleIfError));
        }
    })
    .await;
    for _ in 0..50 {
        assert_eq!(soon("an answer", host.reading()).await.unwrap().via, Via::StaleIfError);
    }
    assert_eq!(world.truth.loads(), 2, "one probe for all of them");
}

#[tokio::test]
async fn a_probe_that_is_answered_fills_and_closes_the_breaker() {
    let world = World::new(tolerant());
    let host = away(&world).await;
    world.truth.end_with(Ending::Row);
    soon("a fresh value", async {
        while host.reading().await.unwrap().via == Via::StaleIfError {
            host.until_idle().await;
        }
    })
    .await;
    assert_eq!((host.read().await, world.stored().await), (1, Some(1)));
}

/// Control: a reader that may not have a stale value asks the origin, and so notices at once that
/// it is back.
#[tokio::test]
async fn while_loads_fail_a_reader_without_a_stale_value_asks_the_origin() {
    let world = World::new(Terms { stale_if_error: Duration::ZERO, ..tolerant() });
    let host = world.host().await;
    world.plant(7, -1_000).await;
    world.truth.end_with(Ending::Failure);
    assert!(matches!(host.reading().await, Err(ReadError::Load(_))));
    world.truth.end_with(Ending::Row);
    let load = world.truth.hold_load();
    let reading = host.spawn_read();
    world.truth.begun(2).await;
    assert!(!reading.is_finished());
    load.release();
    assert_eq!(version(&reading.await.unwrap().unwrap()), 1);
}

#[tokio::test]
async fn while_loads_fail_a_value_that_was_invalidated_is_not_answered() {
    let world = World::new(tolerant());
    let host = away(&world).await;
    host.write("put").await.unwrap();
    assert!(matches!(host.reading().await, Err(ReadError::Load(_))));
}

#[tokio::test]
async fn while_loads_fail_who_asks_for_a_fresh_value_gets_no_stale_one_without_a_load() {
    let world = World::new(tolerant());
    let host = away(&world).await;
    world.truth.end_with(Ending::Row);
    assert_eq!(version(&host.spawn_bypass().await.unwrap().unwrap()), 1);
}

/// The flight's time is that of the reader that began it, and its next round would load for longer
/// than the time that the other reader has left.
#[tokio::test]
async fn who_joins_a_load_that_never_ends_has_the_stale_value_by_the_deadline() {
    let deadline = Duration::from_millis(500);
    let world = World::new(Terms { deadline, ..tolerant() });
    let host = world.host().await;
    world.plant(7, -1_000).await;
    world.truth.end_with(Ending::Never);
    let first = host.spawn_read();
    world.truth.begun(1).await;
    let joined = [host.spawn_read(), host.spawn_read(), host.spawn_bypass()];
    for reading in joined.into_iter().chain([first]) {
        let answer = reading.await.unwrap().unwrap();
        assert_eq!((version(&answer), answer.via), (7, Via::StaleIfError));
    }
}

/// Control: without a value that may be answered then, both get no answer in time.
#[tokio::test]
async fn who_joins_a_load_that_never_ends_without_a_stale_value_has_no_answer() {
    let deadline = Duration::from_millis(500);
    let stale_if_error = Duration::ZERO;
    let world = World::new(Terms { deadline, stale_if_error, ..tolerant() });
    let host = world.host().await;
    world.plant(7, -1_000).await;
    world.truth.end_with(Ending::Never);
    let first = host.spawn_read();
    world.truth.begun(1).await;
    for reading in [host.spawn_read(), first] {
        assert!(reading.await.unwrap().is_err());
    }
}

/// A deadline that passes, and loads that may outlast it.
fn impatient() -> Terms {
    let deadline = Duration::from_millis(300);
    Terms { deadline, load_limit: LONG, ..Terms::default() }
}

#[tokio::test]
async fn a_load_that_outlasts_its_readers_fills_for_the_next_one() {
    let world = World::new(impatient());
    let host = world.host().await;
    let load = world.truth.hold_load();
    assert!(host.reading().await.is_err());
    load.release();
    host.until_idle().await;
    assert_eq!((world.stored().await, host.read().await, world.truth.loads()), (Some(1), 1, 1));
}

#[tokio::test]
async fn who_joins_a_load_that_has_outlasted_others_shares_what_it_fills() {
    let world = World::new(impatient());
    let host = world.host().await;
    let load = world.truth.hold_load();
    assert!(host.reading().await.is_err());
    let late = host.spawn_read();
    until("the late reader's arrival", async || host.coalesced() > 0).await;
    load.release();
    assert_eq!(version(&late.await.unwrap().unwrap()), 1);
    assert_eq!(world.truth.loads(), 1);
}

#[tokio::test]
async fn a_load_that_outlasts_its_readers_and_an_invalidation_fills_nothing() {
    let world = World::new(impatient());
    let host = world.host().await;
    let load = world.truth.hold_load();
    assert!(host.reading().await.is_err());
    host.write("put").await.unwrap();
    load.release();
    host.until_idle().await;
    assert_eq!((world.stored().await, host.rejected()), (None, 1));
}

#[tokio::test]
async fn readers_of_a_load_that_outlasts_them_have_the_stale_value() {
    let world = World::new(Terms { stale_if_error: LONG, ..impatient() });
    let host = world.host().await;
    world.plant(7, -1_000).await;
    let load = world.truth.hold_load();
    for _ in 0..3 {
        let answer = host.reading().await.unwrap();
        assert_eq!((version(&answer), answer.via), (7, Via::StaleIfError));
    }
    load.release();
    host.until_idle().await;
    assert_eq!((world.stored().await, world.truth.loads()), (Some(1), 1));
}

/// Control: without a limit of its own, a load ends with its readers.
#[tokio::test]
async fn a_load_without_a_limit_of_its_own_ends_with_its_readers() {
    let world = World::new(Terms { load_limit: Duration::ZERO, ..impatient() });
    let host = world.host().await;
    let load = world.truth.hold_load();
    assert!(host.reading().await.is_err());
    host.until_idle().await;
    load.release();
    assert_eq!((world.stored().await, world.truth.loads()), (None, 1));
}
