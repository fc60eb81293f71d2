//! An hour of short-lived keys under tags, in virtual time: what the indexes hold meanwhile and at
//! the end.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use corral_host::cache::Loader;
use corral_host::origin::{Fetched, OriginError, Value};
use tokio::runtime::Builder;
use tokio::time::sleep;

use super::chance::Chance;
use super::climate::Climate;
use super::host::{Host, Terms};
use super::truth::{Body, Labelled, Subject};
use super::world::World;

/// Tags that the keys carry, evenly spread.
const TAGS: u64 = 100;

/// Tags of one key: its own and its team's.
const TAGS_OF_A_KEY: f64 = 2.0;

/// Keys that are filled one after the other at one virtual moment.
const BATCH: u64 = 10;

const TTL: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(1);

/// How long an index keeps a member: a policy may stretch a lifetime tenfold, and the index is
/// written before the load.
fn kept() -> Duration {
    TTL * 10 + climate().load_limit()
}

/// Keys to fill within an hour.
#[derive(Debug, Clone, Copy)]
pub struct Churn {
    /// Number of keys.
    pub keys: u64,
    /// The virtual time for filling them.
    pub within: Duration,
}

/// The result.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Churned {
    /// Keys that were filled.
    pub keys: u64,
    /// The virtual seconds that it took.
    pub seconds: f64,
    /// The most keys alive at a look.
    pub most_alive: usize,
    /// The most members of all indexes together at a look.
    pub most_members: usize,
    /// The bound for members: the tags of the keys that are filled in the time for which an index
    /// keeps a member, and in the time until the next write to an index trims it.
    pub bound: usize,
    /// Living keys that the indexes of their tags did not hold at a look; an invalidation would
    /// have missed them.
    pub missing: usize,
    /// Members that have not expired although all keys were over for longer than an index keeps a
    /// member.
    pub left: usize,
}

/// The row with this number.
struct Row(u64);

#[async_trait]
impl Loader for Row {
    async fn load(&self, _: &[Value], _: &[String], _: Duration) -> Result<Fetched, OriginError> {
        let team = u8::try_from(self.0 % TAGS).unwrap_or(0);
        let body = Body { version: self.0, team, team_version: 1, at_ms: 0 };
        let rows = vec![vec![Some(team.to_string())]];
        Ok(Fetched {
            body: Some(Labelled::encode(Subject::Item(0), body)),
            rows,
            ..Fetched::default()
        })
    }
}

impl Churn {
    /// Runs the scene.
    ///
    /// # Panics
    /// When the system has no memory for a runtime, or an undisturbed read fails.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a runtime of one thread needs memory and nothing else")]
    pub fn run(self) -> Churned {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime of one thread");
        runtime.block_on(self.play())
    }

    #[expect(clippy::expect_used, reason = "a read that fails here is what this is to show")]
    async fn play(self) -> Churned {
        let world = Arc::new(World::new(climate(), Chance::new(self.keys), None, false));
        let host = Host::start(&world, 0, 0, Terms { naming: 1, configuration: 0 });
        host.cache.judged().await;
        sleep(Duration::from_secs(1)).await;
        let batches = self.keys.div_ceil(BATCH);
        let pause = self.within / u32::try_from(batches).unwrap_or(u32::MAX);
        let (mut most_alive, mut most_members, mut missing) = (0, 0, 0);
        for batch in 0..batches {
            for number in batch * BATCH..((batch + 1) * BATCH).min(self.keys) {
                host.read_row(number, Arc::new(Row(number))).await.expect("a row");
            }
            if batch % 1_000 == 999 {
                let census = world.peek(0, |node, now_ms| node.shelf.census(now_ms));
                most_alive = most_alive.max(census.alive);
                most_members = most_members.max(census.members);
                missing += census.missing;
            }
            sleep(pause).await;
        }
        let seconds = world.elapsed().as_secs_f64();
        sleep(kept() + DEADLINE).await;
        let left = world.peek(0, |node, now_ms| node.shelf.census(now_ms)).members_alive;
        let trimmed_after = seconds * TAGS as f64 / self.keys as f64;
        let rate = self.keys as f64 / seconds;
        let keys = rate * (kept().as_secs_f64() + trimmed_after) + BATCH as f64;
        let bound = (TAGS_OF_A_KEY * keys).ceil() as usize;
        Churned { keys: self.keys, seconds, most_alive, most_members, bound, missing, left }
    }
}

/// A climate without faults and delays.
fn climate() -> Climate {
    Climate {
        hosts: 1,
        ttl: TTL,
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::ZERO,
        early_refresh: 0,
        deadline: DEADLINE,
        slow_link: Duration::ZERO,
        near: Duration::ZERO,
        ..Climate::calm(&Chance::new(0))
    }
}
