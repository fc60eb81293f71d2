//! Loads that fail, panic, find nothing or never end.

use std::time::Duration;

use corral_host::cache::{ReadError, Via};

use super::host::version;
use super::truth::Ending;
use super::world::{Terms, World, soon};

/// A lease so long that a test notices if it is not given back.
const LONG_LEASE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_loader_that_panics_gives_its_lease_back_and_leaves_nobody_waiting() {
    let world = World::new(Terms { lease: LONG_LEASE, ..Terms::default() });
    let host = world.host().await;
    world.truth.end_with(Ending::Panic);
    let load = world.truth.hold_load();
    let first = host.spawn_read();
    world.truth.begun(1).await;
    let second = host.join().await;
    load.release();
    for reading in [first, second] {
        assert!(matches!(reading.await.unwrap(), Err(ReadError::Nothing)));
    }
    world.truth.end_with(Ending::Row);
    assert_eq!((host.read().await, world.stored().await), (1, Some(1)));
    host.until_idle().await;
}

#[tokio::test]
async fn a_load_that_fails_is_an_error_and_gives_its_lease_back() {
    let world = World::new(Terms { lease: LONG_LEASE, ..Terms::default() });
    let host = world.host().await;
    world.truth.end_with(Ending::Failure);
    assert!(matches!(host.reading().await, Err(ReadError::Load(_))));
    world.truth.end_with(Ending::Row);
    assert_eq!(world.host().await.read().await, 1);
}

#[tokio::test]
async fn a_load_that_fails_answers_a_stale_value_within_its_window_alone() {
    for (stale_since_ms, answered) in [(5_000, true), (15_000, false)] {
        let terms = Terms { stale_if_error: Duration::from_secs(10), ..Terms::default() };
        let world = World::new(terms);
        let host = world.host().await;
        world.plant(7, -stale_since_ms).await;
        world.truth.end_with(Ending::Failure);
        match host.reading().await {
            Ok(answer) => {
                assert!(answered, "stale for {stale_since_ms} ms");
                assert_eq!((version(&answer), answer.via), (7, Via::StaleIfError));
            }
            Err(error) => assert!(!answered, "stale for {stale_since_ms} ms: {error}"),
        }
        assert_eq!(world.truth.loads(), 1);
    }
}

#[tokio::test]
async fn a_load_that_fails_does_not_answer_a_value_that_was_invalidated_meanwhile() {
    let terms = Terms { stale_if_error: Duration::from_secs(60), ..Terms::default() };
    let world = World::new(terms);
    let host = world.host().await;
    world.plant(7, -1_000).await;
    world.truth.end_with(Ending::Failure);
    let load = world.truth.hold_load();
    let reading = host.spawn_read();
    world.truth.begun(1).await;
    host.write("put").await.unwrap();
    load.release();
    assert!(matches!(reading.await.unwrap(), Err(ReadError::Load(_))));
}

#[tokio::test]
async fn a_loader_that_never_ends_leaves_the_stale_value_its_time() {
    let terms = Terms {
        stale_if_error: Duration::from_secs(60),
        deadline: Duration::from_secs(1),
        ..Terms::default()
    };
    let world = World::new(terms);
    let host = world.host().await;
    world.plant(7, -1_000).await;
    world.truth.end_with(Ending::Never);
    let answer = host.reading().await.unwrap();
    assert_eq!((version(&answer), answer.via), (7, Via::StaleIfError));
}

#[tokio::test]
async fn a_row_that_does_not_exist_is_remembered_until_it_is_written() {
    let world = World::default();
    let hosts = [world.host().await, world.host().await];
    world.truth.end_with(Ending::Missing);
    for host in hosts.iter().chain(&hosts) {
        assert_eq!(host.read().await, 0);
    }
    assert_eq!(world.truth.loads(), 1);
    world.truth.end_with(Ending::Row);
    hosts[0].write("put").await.unwrap();
    assert_eq!(hosts[1].read().await, 2);
    assert_eq!(world.truth.loads(), 2);
}

#[tokio::test]
async fn a_refresh_that_fails_leaves_the_stale_value_in_place() {
    let terms = Terms { stale_while_revalidate: Duration::from_secs(30), ..Terms::default() };
    let world = World::new(terms);
    let host = world.host().await;
    world.plant(7, -1_000).await;
    world.truth.end_with(Ending::Failure);
    assert_eq!(host.read().await, 7);
    host.until_idle().await;
    assert_eq!((world.truth.loads(), world.stored().await), (1, Some(7)));
    world.truth.end_with(Ending::Row);
    // The next refresh begins after a pause.
    soon("a refresh that succeeds", async {
        while host.read().await == 7 {
            host.until_idle().await;
        }
    })
    .await;
    assert_eq!(world.stored().await, Some(1));
}

#[tokio::test]
async fn a_refresh_that_fails_is_not_tried_again_by_the_next_reader() {
    let terms = Terms { stale_while_revalidate: Duration::from_secs(30), ..Terms::default() };
    let world = World::new(terms);
    let host = world.host().await;
    world.plant(7, -1_000).await;
    world.truth.end_with(Ending::Rejection);
    for _ in 0..200 {
        assert_eq!(host.read().await, 7);
        host.until_idle().await;
    }
    // Each pause is twice as long as the one before; on a machine that hangs for seconds there are
    // a few more loads.
    assert!(world.truth.loads() < 8, "{} loads for 200 readers", world.truth.loads());
}
