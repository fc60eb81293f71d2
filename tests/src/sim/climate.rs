//! The climate of a schedule: its terms, its traffic, and the faults that may happen in it.

use std::time::Duration;

use serde_json::json;

use corral_host::policy::{Configuration, Terms, Way};

use crate::declared::{configuration, entity, write};

use super::chance::Chance;
use super::checker::Promises;
use super::theme::Theme;

/// The climate, drawn from the seed before anything else.
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
    /// So many of a hundred requests are for the same row, list or team.
    pub hot: u32,
    /// So many of a hundred reads are of lists and teams.
    pub lists: usize,
    /// So many of a hundred requests are writes.
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
    /// How long a flight waits for a holder; zero means until its deadline.
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
    /// The store is flushed after hosts have filled it.
    pub emptied: bool,
    /// The store is out of memory for a while and stores nothing.
    pub refusals: bool,
    /// The store crashes and comes back from a snapshot.
    pub restarts: bool,
    /// The store's node has replicas, of which one is promoted. The replica lags behind, and the old node may
    /// live on.
    pub failovers: bool,
    /// The origin fails, freezes or slows down.
    pub origin_faults: bool,
    /// The longest time that a commit takes, whether or not its client learns of its end; zero if no commit
    /// is slow.
    pub slow_commit: Duration,
    /// So many of a hundred commits are slow, if slow commits exist.
    pub slow_commits: u32,
    /// Transactions have no id.
    pub anonymous: bool,
    /// Hosts die, and start again.
    pub crashes: bool,
    /// Some hosts die at any moment, not only during a commit.
    pub sudden_crashes: bool,
    /// Hosts freeze and thaw.
    pub pauses: bool,
    /// Some of these last for seconds, at any point of the host's work.
    pub long_pauses: bool,
    /// If hosts freeze, they freeze in so many of a hundred cases between the removal of a value and that of
    /// its member in an index, and rarely between any other check and the act that it allows.
    pub freezes_in_walks: u32,
    /// The clocks of nodes are set.
    pub steps: bool,
    /// How long a near cache may answer; zero if there is no near cache.
    pub near: Duration,
    /// Connections to the store break, and are replaced at once.
    pub breaks: bool,
    /// The policy is exchanged for one that names every key differently, on one host after the other.
    pub swaps: bool,
    /// Hosts have different definitions of the entities.
    pub configurations: bool,
    /// The policy gives two rows one key.
    pub collides: bool,
    /// Rows change behind the cache's back, after which operators flush everything.
    pub flushes: bool,
    /// The store evicts indexes, marks, intents and its range, which is outside the promise.
    pub volatile: bool,
}

/// The store's time budget for an exchange.
pub(super) const BUDGET: Duration = Duration::from_millis(50);

/// How long a host believes what it knew without an answer from the store.
const BELIEVED: Duration = Duration::from_millis(1_100);

/// Jitter of lifetimes, as a fraction.
const JITTER: f64 = 0.2;

impl Climate {
    pub(super) fn draw(chance: &Chance) -> Self {
        let drawn = Self::draw_each(chance);
        Theme::draw(chance).map_or(drawn, |theme| theme.of(drawn, chance))
    }

    /// Draws each property by itself.
    fn draw_each(chance: &Chance) -> Self {
        let ms = Duration::from_millis;
        let often = |percent| chance.percent(percent);
        // Crashes with a store that keeps what it is told show the use of intents.
        let sound_store = often(35);
        let origin_faults = often(35);
        let pauses = often(20);
        let failovers = !sound_store && often(20);
        let (swaps, configurations) = (often(20), often(25));
        let pauses_between = match failovers {
            true => [ms(40), ms(200), ms(1_500), ms(3_000)],
            false => [ms(5), ms(40), ms(40), ms(200)],
        };
        Self {
            hosts: 1 + chance.below(3),
            clients: 2 + chance.below(5),
            requests: 6 + chance.below(10),
            pause: chance.one_of(&pauses_between),
            hot: 0,
            lists: 40,
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
            emptied: false,
            refusals: !sound_store && often(20),
            restarts: !sound_store && often(25),
            failovers,
            origin_faults,
            slow_commit: chance.one_of(&[ms(0), ms(0), ms(1_500), ms(8_000), ms(60_000)]),
            slow_commits: 10,
            // A frozen host commits such a transaction when it thaws, against which nothing is promised.
            anonymous: often(20) && !pauses,
            crashes: often(50),
            sudden_crashes: true,
            pauses,
            long_pauses: true,
            freezes_in_walks: 5,
            steps: !sound_store && often(20),
            near: chance.one_of(&[ms(0), ms(0), ms(0), ms(300), ms(5_000)]),
            breaks: often(40),
            swaps,
            configurations,
            collides: often(10),
            flushes: often(20),
            volatile: !sound_store && often(5),
        }
    }

    /// A climate without faults.
    pub(super) fn calm(chance: &Chance) -> Self {
        Self {
            lost: 0,
            outages: false,
            evictions: false,
            emptied: false,
            refusals: false,
            restarts: false,
            failovers: false,
            origin_faults: false,
            slow_commit: Duration::ZERO,
            crashes: false,
            pauses: false,
            steps: false,
            breaks: false,
            swaps: false,
            configurations: false,
            collides: false,
            flushes: false,
            volatile: false,
            ..Self::draw(chance)
        }
    }

    /// What the cache promises in this climate.
    pub(super) fn promises(&self) -> Promises {
        Promises {
            oldest: Some(self.oldest()),
            near: self.near_lags(),
            repairs: self.sound_store() && !self.pauses,
            answers: self.leaves_time(),
            // A lease that was granted before its node's clock was set back may be held for a minute.
            answers_at_rest: !self.steps,
            writes: self.leaves_time() && self.slow_commit.is_zero() && !self.ends_hosts(),
            in_time: !self.pauses,
        }
    }

    /// Whether the store keeps everything and answers every request.
    fn sound_store(&self) -> bool {
        self.forgets_nothing()
            && self.lost == 0
            && !self.outages
            && !self.evictions
            && !self.emptied
            && !self.refusals
            && !self.steps
    }

    /// Whether hosts may end, which leaves leases behind, and transactions that lock their rows until the
    /// database ends them.
    fn ends_hosts(&self) -> bool {
        self.crashes || self.configurations
    }

    /// Whether the store is a single node that never returns to an earlier state.
    pub(super) fn forgets_nothing(&self) -> bool {
        !self.failovers && !self.restarts
    }

    /// Whether a host can always renew its lease in time: several exchanges fit into a third of it.
    pub(super) fn keeps_leases(&self) -> bool {
        let quiet = !self.pauses && !self.ends_hosts() && !self.breaks;
        self.sound_store() && quiet && self.slow_link * 8 <= self.lease / 3
    }

    /// How long a near cache may answer a value that was invalidated on another host. If the link is sound,
    /// until the news has arrived, or the break of the connection that lost the news. Otherwise until the
    /// host's trust has run out. In any case no longer than the near cache may answer at all.
    fn near_lags(&self) -> Duration {
        let is_sound = self.sound_store() && !self.pauses;
        self.near.min(if is_sound { self.slow_link * 2 } else { BELIEVED })
    }

    /// Whether only a mistake of the cache can keep a request from its answer: the origin is sound, and the
    /// deadline has room for other requests' loads and for repeated loads.
    fn leaves_time(&self) -> bool {
        !self.origin_faults && !self.pauses && !self.steps && self.slow_load * 20 <= self.deadline
    }

    /// When a load that outlasts its readers ends.
    pub(super) fn load_limit(&self) -> Duration {
        self.deadline * 2
    }

    /// The longest time for which a value may be answered after its load.
    fn oldest(&self) -> Duration {
        let window = self.stale_while_revalidate.max(self.stale_if_error);
        self.ttl.mul_f64(1.0 + JITTER) + window + self.load_limit()
    }

    /// The policy's configuration for the naming of this number.
    pub(super) fn configuration(&self, naming: u32) -> Configuration {
        let millis = |duration: Duration| duration.as_millis() as u32;
        let terms = Terms {
            ttl_ms: millis(self.ttl),
            negative_ttl_ms: millis(self.ttl),
            stale_while_revalidate_ms: millis(self.stale_while_revalidate),
            stale_if_error_ms: millis(self.stale_if_error),
        };
        let touches = ["item(id)", "tag roster:{row.team}"];
        let mut item = entity("item", &["id"], &["item:{id}", "team:{row.team}"], terms);
        item.writes = vec![
            write("put", &["id"], Way::Removed, &touches),
            write("through", &["id"], Way::Refreshed, &touches),
            write("rename", &["team"], Way::Removed, &["tag team:{team}"]),
        ];
        let team = entity("team", &["team"], &["team:{team}"], terms);
        let roster = entity("roster", &["team"], &["roster:{team}"], terms);
        let settings = json!({
            "namespace": format!("v{naming}"),
            "jitter": JITTER,
            "early_refresh": self.early_refresh,
            "lease_ms": millis(self.lease),
            "patience_ms": millis(self.patience),
        });
        configuration(vec![item, roster, team], settings)
    }
}
