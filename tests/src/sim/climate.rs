//! What a schedule is like: its terms, its traffic, and which faults may happen in it.

use std::time::Duration;

use serde_json::json;

use super::chance::Chance;
use super::checker::Promises;

/// Drawn from the seed before anything happens.
#[derive(Debug, Clone, Copy)]
pub struct Climate {
    /// Hosts over the one store and origin.
    pub hosts: usize,
    /// Clients, each with one request at a time.
    pub clients: usize,
    /// Requests of each client.
    pub requests: usize,
    /// The longest pause of a client between two requests.
    pub pause: Duration,
    /// In so many of a hundred requests a client writes.
    pub writes: u32,
    /// How long values are fresh.
    pub ttl: Duration,
    /// Stale answers while a refresh runs.
    pub stale_while_revalidate: Duration,
    /// Stale answers when a load fails.
    pub stale_if_error: Duration,
    /// The strength of early refresh.
    pub early_refresh: u32,
    /// How long a lease lives unless renewed.
    pub lease: Duration,
    /// How long a flight waits for a holder; zero: until its deadline.
    pub patience: Duration,
    /// The deadline of reads and writes.
    pub deadline: Duration,
    /// The slowest load and exchange of an undisturbed origin and store.
    pub slow_load: Duration,
    /// An exchange with the store takes up to this each way.
    pub slow_link: Duration,
    /// In so many of a thousand exchanges a message is lost or late.
    pub lost: u32,
    /// The store, or one host's link to it, refuses, freezes or slows down.
    pub outages: bool,
    /// The store is flushed, or evicts values and leases.
    pub evictions: bool,
    /// The store fails over to a replica that lags behind.
    pub failovers: bool,
    /// The origin fails, freezes or slows down; commits end in doubt.
    pub origin_faults: bool,
    /// Hosts die, and start again.
    pub crashes: bool,
    /// How long a near cache may answer; zero: there is none.
    pub near: Duration,
    /// Connections to the store break, and are replaced at once.
    pub breaks: bool,
    /// The policy is exchanged for one that names every key differently, on all hosts.
    pub swaps: bool,
}

/// The store's time budget for an exchange.
pub(super) const BUDGET: Duration = Duration::from_millis(50);

/// Jitter of lifetimes, as a fraction.
const JITTER: f64 = 0.2;

impl Climate {
    pub(super) fn draw(chance: &Chance) -> Self {
        let ms = Duration::from_millis;
        let often = |percent| chance.percent(percent);
        // Crashes with a store that keeps what it is told show what intents are for.
        let sound_store = often(35);
        // A host that starts after a swap knows one naming only: the two are apart.
        let swaps = often(20);
        Self {
            hosts: 1 + chance.below(3),
            clients: 2 + chance.below(5),
            requests: 6 + chance.below(10),
            pause: chance.one_of(&[ms(5), ms(40), ms(200)]),
            writes: chance.one_of(&[10, 30, 60]),
            ttl: chance.one_of(&[ms(300), ms(2_000), ms(60_000)]),
            stale_while_revalidate: chance.one_of(&[ms(0), ms(0), ms(1_000)]),
            stale_if_error: chance.one_of(&[ms(0), ms(0), ms(5_000)]),
            early_refresh: chance.one_of(&[0, 1, 5]),
            lease: chance.one_of(&[ms(100), ms(300)]),
            patience: chance.one_of(&[ms(0), ms(0), ms(200)]),
            deadline: chance.one_of(&[ms(1_000), ms(3_000)]),
            slow_load: chance.one_of(&[ms(2), ms(20), ms(150)]),
            slow_link: chance.one_of(&[ms(0), ms(3), ms(20)]),
            lost: if sound_store { 0 } else { chance.one_of(&[0, 5, 30]) },
            outages: !sound_store && often(50),
            evictions: !sound_store && often(30),
            failovers: !sound_store && often(15),
            origin_faults: often(35),
            crashes: !swaps && often(50),
            near: chance.one_of(&[ms(0), ms(0), ms(0), ms(300), ms(5_000)]),
            breaks: often(40),
            swaps,
        }
    }

    /// What the cache promises under it.
    pub(super) fn promises(&self) -> Promises {
        Promises {
            oldest: Some(self.oldest()),
            near: self.near_lags(),
            repairs: self.sound_store(),
            answers: self.leaves_time(),
        }
    }

    /// Whether the store keeps and answers everything.
    fn sound_store(&self) -> bool {
        self.lost == 0 && !self.outages && !self.evictions && !self.failovers
    }

    /// How long a near cache may answer what was invalidated on another host: while the link is sound,
    /// until word has come, or the break of the connection that lost it; and never longer than it may
    /// answer at all.
    fn near_lags(&self) -> Duration {
        let silent = self.lost > 0 || self.outages || self.failovers;
        if silent { self.near } else { self.near.min(self.slow_link * 2) }
    }

    /// Whether nothing but a mistake of the cache can keep a request from its answer: the origin is
    /// sound, and the deadline has room for the loads of others and for loads that are repeated.
    fn leaves_time(&self) -> bool {
        !self.origin_faults && self.slow_load * 20 <= self.deadline
    }

    /// The longest that a value may be answered after it was loaded.
    fn oldest(&self) -> Duration {
        let window = self.stale_while_revalidate.max(self.stale_if_error);
        self.ttl.mul_f64(1.0 + JITTER) + window + self.deadline
    }

    /// The policy's settings for the naming of this number.
    pub(super) fn settings(&self, naming: u32) -> String {
        let millis = |duration: Duration| duration.as_millis() as u64;
        let write = |param: &str, then: &str, touches: &str| json!({ "params": [param], "then": then, "touches": [touches] });
        let terms = |params: &str, tags: &[&str]| {
            json!({
                "params": [params],
                "ttl_ms": millis(self.ttl),
                "stale_while_revalidate_ms": millis(self.stale_while_revalidate),
                "stale_if_error_ms": millis(self.stale_if_error),
                "negative_ttl_ms": millis(self.ttl),
                "tags": tags,
            })
        };
        let mut item = terms("id", &["item:{id}", "team:{row.team}"]);
        item["writes"] = json!({
            "put": write("id", "invalidate", "item(id)"),
            "through": write("id", "write-through", "item(id)"),
            "rename": write("team", "invalidate", "tag team:{team}"),
        });
        json!({
            "namespace": format!("v{naming}"),
            "jitter": JITTER,
            "early_refresh": self.early_refresh,
            "lease_ms": millis(self.lease),
            "patience_ms": millis(self.patience),
            "entities": { "item": item, "team": terms("team", &["team:{team}"]) },
        })
        .to_string()
    }
}
