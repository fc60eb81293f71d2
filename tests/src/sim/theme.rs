//! Themes: what is rare by itself and breaks a promise only together is drawn together in some schedules.

use std::time::Duration;

use super::chance::Chance;
use super::climate::Climate;

/// So many schedules of a hundred have a theme.
const WITH_THEME: u32 = 50;

/// What a schedule is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Theme {
    /// Near caches keep a few hot rows, while connections break, everything is flushed and hosts freeze
    /// (races K, V and O).
    Near,
    /// A few lists are invalidated and read at once by hosts that freeze between the steps of a walk (race Q).
    Walks,
    /// Commits take long, and hosts die with them (race L).
    Commits,
    /// Loads take long, and the store comes back from a snapshot of a moment before (race O).
    Snapshots,
    /// A node is cut off together with one host, and hosts freeze while another one is promoted (race O).
    Partitions,
}

impl Theme {
    const ALL: [Self; 5] =
        [Self::Near, Self::Walks, Self::Commits, Self::Snapshots, Self::Partitions];

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
                near: ms(5_000),
                slow_link: chance.one_of(&[ms(3), ms(20)]),
                writes: chance.one_of(&[10, 30]),
                pause: chance.one_of(&[ms(40), ms(200), ms(400)]),
                breaks: chance.percent(60),
                flushes: chance.percent(40),
                ..base
            },
            Self::Walks => Climate {
                ttl: chance.one_of(&[ms(300), ms(2_000), ms(60_000)]),
                slow_link: chance.one_of(&[ms(3), ms(20)]),
                slow_load: ms(2),
                writes: chance.one_of(&[30, 60]),
                pauses: true,
                anonymous: false,
                ..base
            },
            Self::Commits => Climate {
                pause: chance.one_of(&[ms(200), ms(1_000)]),
                slow_commit: chance.one_of(&[ms(8_000), ms(60_000)]),
                crashes: true,
                anonymous: drawn.anonymous || (!drawn.pauses && chance.percent(60)),
                ..base
            },
            Self::Snapshots => Climate {
                lease: ms(300),
                deadline: ms(3_000),
                slow_load: chance.one_of(&[ms(150), ms(400)]),
                slow_link: chance.one_of(&[ms(0), ms(3)]),
                restarts: true,
                failovers: false,
                ..base
            },
            Self::Partitions => Climate {
                pause: chance.one_of(&[ms(200), ms(1_000)]),
                requests: 15 + chance.below(15),
                failovers: true,
                pauses: chance.percent(50),
                anonymous: false,
                ..base
            },
        }
    }
}
