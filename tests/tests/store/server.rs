//! A private Redis server.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use corral_host::store::RedisStore;

use super::PATIENCE;

pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A private server, killed on drop.
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
}

impl Server {
    pub(super) fn start() -> Self {
        Self::start_on(free_port())
    }

    pub(super) fn start_on(port: u16) -> Self {
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, port };
        let begun = Instant::now();
        while server.client().get_connection().is_err() {
            assert!(begun.elapsed() < PATIENCE, "redis-server does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    fn client(&self) -> redis::Client {
        redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap()
    }

    pub(super) fn store(&self, budget: Duration) -> RedisStore {
        RedisStore::connect(&format!("redis://127.0.0.1:{}", self.port), budget).unwrap()
    }

    pub(super) fn admin(&self) -> redis::Connection {
        self.client().get_connection().unwrap()
    }

    pub(super) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub(super) fn keys(&self) -> usize {
        redis::cmd("DBSIZE").query(&mut self.admin()).unwrap()
    }

    pub(super) fn keys_without_lifetime(&self) -> Vec<String> {
        let mut admin = self.admin();
        let mut names: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut admin).unwrap();
        names.retain(|name| redis::cmd("PTTL").arg(name).query(&mut admin) == Ok(-1_i64));
        names
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Also ends a server that a failed test left stopped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
