//! Themes: faults that are rare by themselves and break a promise only together are drawn together
//! in some schedules.

use std::time::Duration;

use super::chance::Chance;
use super::climate::Climate;

/// So many schedules of a hundred have a theme.
const WITH_THEME: u32 = 70;

/// By this deadline, a load of several seconds, its repetition for its tag, and another host's load
/// before it have ended.
const LONG_DEADLINE: Duration = Duration::from_secs(20);

/// The theme of a schedule.
#[derive(Debug, Clone, Copy)]
pub(super) enum Theme {
    /// Near caches keep a hot row that is read and written at once, while connections break (race
    /// K).
    Near,
    /// Near caches keep rows for longer than a flush takes (race V).
    Flushes,
    /// Loads last longer than a flush (race V).
    LongLoads,
    /// Lists are invalidated and read at once by hosts that freeze between the steps of a walk
    /// (race Q).
    Walks,
    /// Commits take long, and hosts die with them (race L).
    Commits,
    /// Loads take long, and the store comes back from a recent snapshot (race O).
    Snapshots,
    /// The node's clock is set while values of short lifetimes are read (race N).
    Clocks,
    /// The store is emptied while hosts of two configurations read and write the same rows (race
    /// J).
    Emptied,
    /// A node is cut off together with one host, and hosts freeze while another one is promoted
    /// (race O).
    Partitions,
}

impl Theme {
    const ALL: [Self; 9] = [
        Self::Near,
        Self::Flushes,
        Self::LongLoads,
        Self::Walks,
        Self::Commits,
        Self::Snapshots,
        Self::Clocks,
        Self::Emptied,
        Self::Partitions,
    ];

    pub(super) fn draw(chance: &Chance) -> Option<Self> {
        chance.percent(WITH_THEME).then(|| chance.one_of(&Self::ALL))
    }

    /// The climate of a schedule with this theme.
    pub(super) fn of(self, drawn: Climate, chance: &Chance) -> Climate {
        let ms = Duration::from_millis;
        let base = Climate {
            hosts: 2 + chance.below(2),
            requests: 10 + chance.below(10),
            ttl: ms(60_000),
            hot: 80,
            ..drawn
        };
        match self {
            Self::Near => Climate {
                clients: 4 + chance.below(3),
                requests: 15 + chance.below(15),
                pause: chance.one_of(&[ms(5), ms(20), ms(40), ms(200)]),
                near: ms(5_000),
                lists: 10,
                slow_link: chance.one_of(&[ms(3), ms(20), ms(20)]),
                slow_load: ms(2),
                writes: chance.one_of(&[10, 30]),
                breaks: chance.percent(60),
                ..perhaps_sound(base, chance)
            },
            Self::Flushes => Climate {
                pause: chance.one_of(&[ms(200), ms(1_000)]),
                near: ms(5_000),
                writes: 5,
                flushes: true,
                ..perhaps_sound(base, chance)
            },
            Self::LongLoads => Climate {
                hosts: 2,
                clients: 6 + chance.below(3),
                hot: 95,
                lists: 10,
                pause: ms(200),
                ttl: ms(2_000),
                stale_while_revalidate: ms(0),
                near: ms(0),
                deadline: LONG_DEADLINE,
                slow_load: ms(2_500),
                crashes: false,
                configurations: false,
                writes: 10,
                flushes: true,
                ..perhaps_sound(base, chance)
            },
            Self::Walks => Climate {
                clients: 4 + chance.below(3),
                requests: 20 + chance.below(15),
                pause: chance.one_of(&[ms(20), ms(40), ms(200)]),
                lists: 90,
                ttl: chance.one_of(&[ms(300), ms(2_000), ms(60_000)]),
                slow_link: chance.one_of(&[ms(3), ms(20)]),
                slow_load: ms(2),
                writes: chance.one_of(&[30, 60]),
                anonymous: false,
                pauses: true,
                long_pauses: false,
                freezes_in_walks: 40,
                ..perhaps_sound(base, chance)
            },
            Self::Commits => Climate {
                pause: chance.one_of(&[ms(200), ms(1_000)]),
                slow_commit: chance.one_of(&[ms(8_000), ms(60_000)]),
                slow_commits: 40,
                crashes: true,
                sudden_crashes: false,
                configurations: false,
                anonymous: drawn.anonymous || chance.percent(60),
                pauses: false,
                ..perhaps_sound(base, chance)
            },
            Self::Snapshots => Climate {
                lease: ms(3_000),
                deadline: LONG_DEADLINE,
                slow_load: chance.one_of(&[ms(400), ms(1_200)]),
                slow_link: chance.one_of(&[ms(0), ms(3)]),
                restarts: true,
                failovers: false,
                crashes: false,
                configurations: false,
                ..perhaps_sound(base, chance)
            },
            Self::Clocks => Climate {
                pause: chance.one_of(&[ms(200), ms(1_000)]),
                ttl: chance.one_of(&[ms(300), ms(2_000)]),
                steps: true,
                ..drawn
            },
            Self::Emptied => Climate {
                hosts: 3,
                clients: 8,
                requests: 30 + chance.below(20),
                pause: ms(100),
                hot: 95,
                lists: 10,
                slow_link: ms(3),
                slow_load: ms(2),
                writes: 20,
                emptied: true,
                configurations: true,
                crashes: false,
                breaks: false,
                origin_faults: false,
                evictions: false,
                lost: 0,
                outages: false,
                refusals: false,
                restarts: false,
                failovers: false,
                pauses: false,
                steps: false,
                volatile: false,
                ..base
            },
            Self::Partitions => Climate {
                pause: chance.one_of(&[ms(400), ms(1_000)]),
                requests: 15 + chance.below(15),
                failovers: true,
                outages: false,
                pauses: chance.percent(70),
                long_pauses: chance.percent(30),
                anonymous: false,
                ..base
            },
        }
    }
}

/// The same climate, mostly over a store that keeps everything and answers every request, where
/// more is promised.
fn perhaps_sound(climate: Climate, chance: &Chance) -> Climate {
    if chance.percent(30) {
        return climate;
    }
    Climate {
        lost: 0,
        outages: false,
        evictions: false,
        refusals: false,
        restarts: false,
        failovers: false,
        pauses: false,
        steps: false,
        volatile: false,
        ..climate
    }
}
