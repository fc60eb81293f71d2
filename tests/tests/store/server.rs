//! The private Redis of these tests.

use std::time::Duration;

use corral_host::store::{Prefix, RedisStore};
use corral_tests::servers::Redis;

/// A private server, ended with the test.
pub(super) struct Server(pub(super) Redis);

impl Server {
    pub(super) async fn start() -> Self {
        Self(Redis::start().await.unwrap())
    }

    pub(super) fn url(&self) -> String {
        self.0.url()
    }

    pub(super) fn store(&self, budget: Duration) -> RedisStore {
        RedisStore::connect(&self.url(), Prefix::default(), budget).unwrap()
    }

    pub(super) fn admin(&self) -> redis::Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    pub(super) fn keys(&self) -> usize {
        redis::cmd("DBSIZE").query(&mut self.admin()).unwrap()
    }

    pub(super) async fn keys_without_lifetime(&self) -> Vec<String> {
        self.0.keys_without_lifetime("*").await.unwrap()
    }
}
