//! The store suite over every server program that stands for Redis.

use corral_tests::servers::{Edition, Redis};

use super::*;

#[tokio::test]
async fn every_edition_passes_the_suite_and_leaves_no_key_without_a_lifetime() {
    for edition in Edition::ALL {
        let server = Server(Redis::start_edition(edition, &[]).await.unwrap());
        let store = server.store(BUDGET);
        conformance::run_all(&store, "t").await.unwrap_or_else(|why| panic!("{edition}: {why:#}"));
        assert_eq!(store.unreadable(), 0, "{edition}");
        assert!(server.keys() > 10, "{edition}: nothing to look at");
        assert_eq!(server.keys_without_lifetime().await, Vec::<String>::new(), "{edition}");
    }
}

#[tokio::test]
async fn every_edition_tells_of_changes() {
    for edition in Edition::ALL {
        let server = Server(Redis::start_edition(edition, &[]).await.unwrap());
        let (here, there) = (server.store(BUDGET), server.store(BUDGET));
        let told = conformance::run_tracking(&here, &there, "t").await;
        told.unwrap_or_else(|why| panic!("{edition}: {why:#}"));
    }
}

#[test]
fn every_edition_agrees_with_the_model_on_random_sequences() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for edition in Edition::ALL {
        let server = Server(runtime.block_on(Redis::start_edition(edition, &[])).unwrap());
        let store = runtime.block_on(async { server.store(BUDGET) });
        let compared = model::compare(&runtime, &store, "m", 2, 300);
        compared.unwrap_or_else(|why| panic!("{edition}: {why:#}"));
    }
}
