//! Free loopback ports.

use std::net::TcpListener;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which the kernel takes ports for outgoing connections (32768 and up): while
/// a server is down, no connection of a test may take its port, or connect to itself there.
const FIRST: u16 = 20_000;
/// How many ports there are to choose from.
const COUNT: u16 = 12_000;

/// A port that is not in use, and that this process does not hand out again soon.
///
/// # Errors
/// If there is no such port.
pub fn free_port() -> anyhow::Result<u16> {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    // Test processes that run side by side begin at different ports.
    let next = NEXT.get_or_init(|| AtomicU16::new(rand::random_range(0..COUNT)));
    for _ in 0..COUNT {
        let port = FIRST + next.fetch_add(1, Ordering::Relaxed) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no free port between {FIRST} and {}", FIRST + COUNT)
}
