//! The least number of loads that can answer given accesses, if a value lives for a given time.
//!
//! A value that is loaded at `t` and lives for `L` can answer an access if it is fresh at some
//! moment between the access's sending and its answer's arrival: if `sent ≤ t + L` and `t ≤
//! arrived`. So a load answers the accesses whose interval `[sent − L, arrived]` holds its moment,
//! and the least number of loads is the least number of moments that hit every interval. A greedy
//! choice finds it: of the intervals that no moment hits yet, take the one that ends first, and
//! load at its end, since any earlier moment hits no other interval that this moment does not hit.
//! No cache can do with fewer loads, not even a cache that loads ahead of time and knows the whole
//! trace. Each of these loads lies within an access that needs it, so a cache that loads only when
//! it is asked can do with as many.
//!
//! The moments are the client's: the time that an answer takes on its way from the host lowers the
//! bound, for a hot key by that time over the lifetime.

use std::time::Duration;

use crate::replay::Access;

/// The least number of loads that bring each access a value no older than `lifetime`.
#[must_use]
pub fn least_loads(accesses: &[Access], lifetime: Duration) -> u64 {
    let lifetime_us = u64::try_from(lifetime.as_micros()).unwrap_or(u64::MAX);
    let mut by_end = accesses.to_vec();
    by_end.sort_unstable_by_key(|access| (access.id, access.ended_us));
    let mut loads = 0;
    let mut last: Option<Access> = None;
    for access in by_end {
        let answered = last.is_some_and(|loaded| {
            let until_us = loaded.ended_us.saturating_add(lifetime_us);
            loaded.id == access.id && access.began_us <= until_us
        });
        if !answered {
            loads += 1;
            last = Some(access);
        }
    }
    loads
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIFETIME: Duration = Duration::from_micros(100);

    fn least(history: &[(u32, u64, u64)]) -> u64 {
        let access = |&(id, began_us, ended_us)| Access { id, began_us, ended_us };
        least_loads(&history.iter().map(access).collect::<Vec<_>>(), LIFETIME)
    }

    #[test]
    fn nothing_costs_nothing_and_every_key_one_load() {
        assert_eq!(least(&[]), 0);
        assert_eq!(least(&[(1, 0, 5), (2, 1, 6), (1, 7, 8), (2, 7, 8)]), 2);
    }

    #[test]
    fn what_is_sent_by_the_end_of_the_lifetime_is_answered_and_the_next_is_not() {
        assert_eq!(least(&[(1, 0, 10), (1, 110, 111)]), 1);
        assert_eq!(least(&[(1, 0, 10), (1, 111, 112)]), 2);
    }

    #[test]
    fn a_lifetime_begins_with_the_load_and_not_with_the_last_access() {
        assert_eq!(least(&[(1, 0, 10), (1, 60, 61), (1, 120, 121), (1, 180, 181)]), 2);
    }

    #[test]
    fn those_who_wait_together_share_a_load() {
        assert_eq!(least(&[(1, 0, 50), (1, 10, 50), (1, 20, 51), (1, 49, 52)]), 1);
    }

    #[test]
    fn one_that_takes_long_is_answered_by_what_came_meanwhile() {
        assert_eq!(least(&[(1, 0, 300), (1, 200, 210)]), 1);
        // The long access may take the first value or the last one, so it needs no third load.
        assert_eq!(least(&[(1, 0, 300), (1, 5, 10), (1, 200, 210)]), 2);
    }

    #[test]
    fn the_order_in_which_accesses_were_noted_does_not_matter() {
        let history = [(1, 0, 10), (2, 3, 4), (1, 60, 61), (1, 120, 121), (2, 400, 410)];
        let mut backwards = history;
        backwards.reverse();
        assert_eq!((least(&history), least(&backwards)), (4, 4));
    }

    /// The loads of a cache that loads whenever an access finds no fresh value, at the end of that
    /// access.
    fn lazy(history: &[(u64, u64)]) -> u64 {
        let (mut loads, mut until_us) = (0, None);
        for (began_us, ended_us) in history {
            if until_us.is_none_or(|until_us| *began_us > until_us) {
                loads += 1;
                until_us = Some(ended_us + 100);
            }
        }
        loads
    }

    /// The least number of moments out of all ends, found by trying every combination.
    fn tried(history: &[(u64, u64)]) -> u64 {
        let hit = |moments: u32, (began_us, ended_us): &(u64, u64)| {
            let mut chosen = history.iter().enumerate().filter(|(at, _)| moments >> at & 1 == 1);
            chosen.any(|(_, (_, at_us))| *began_us <= at_us + 100 && at_us <= ended_us)
        };
        let enough = |moments: &u32| history.iter().all(|access| hit(*moments, access));
        let counts = (0..1_u32 << history.len()).filter(enough).map(u32::count_ones);
        counts.min().unwrap_or(0).into()
    }

    proptest! {
        #[test]
        fn no_other_choice_of_moments_does_with_fewer(
            history in prop::collection::vec((0_u64..600, 0_u64..150), 0..8)
        ) {
            let history: Vec<_> = history.into_iter().map(|(at, took)| (at, at + took)).collect();
            let of_one_key: Vec<_> = history.iter().map(|(began, end)| (1, *began, *end)).collect();
            prop_assert_eq!(least(&of_one_key), tried(&history));
        }

        #[test]
        fn for_one_access_after_the_other_a_lazy_cache_reaches_it(
            steps in prop::collection::vec((0_u64..150, 0_u64..20), 0..30)
        ) {
            let mut now = 0;
            let history: Vec<_> = steps.into_iter().map(|(pause, took)| {
                let began = now + pause;
                now = began + took;
                (began, now)
            }).collect();
            let of_one_key: Vec<_> = history.iter().map(|(began, end)| (1, *began, *end)).collect();
            prop_assert_eq!(least(&of_one_key), lazy(&history));
        }
    }
}
