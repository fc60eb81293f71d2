//! What changes a word, and what is in force.

use super::super::definition::tests::{ENTITY, definition, naming, policy};
use super::*;

const EPOCH: Epoch = Epoch(7);

const FIRST: RangeId = RangeId::FIRST;

/// The range of a store in which the definition is published under the policy with settings `{}`.
fn range(definition: &Definition, everything: u64, floor: u64) -> Range {
    let naming = naming(definition);
    let floors = [(FloorScope::Everything, everything), (naming.scope(), floor)];
    Range { version: 1, floors: floors.into(), namings: vec![naming], ..Range::default() }
}

fn word(definition: &Definition) -> Option<u64> {
    definition.word(FIRST, policy("{}"), Duration::ZERO)
}

/// Sets a range of which every host knows all namings.
fn set(stamps: &Stamps, epoch: Epoch, range: Range, published: PolicyId) {
    stamps.set(
        epoch,
        vec![(FIRST, range)],
        (&stamps.in_use(), published),
        Duration::ZERO,
        Duration::ZERO,
    );
}

#[test]
fn a_word_changes_with_every_part_of_it() {
    let others = [[3, 3], [2, 4], [3, 2]].map(Stamp::word);
    assert!(!others.contains(&Stamp::word([2, 3])));
}

#[test]
fn nothing_is_stamped_or_in_force_before_the_first_range() {
    let definition = definition(ENTITY);
    assert_eq!(word(&definition), None);
    assert!(!definition.is_in_force(FIRST, Stamp::word([1, 2])));
}

#[test]
fn a_word_is_in_force_until_one_of_its_floors_is_another() {
    let definition = definition(ENTITY);
    let stamps = Stamps::new(vec![Arc::clone(&definition)], Layout::Single);
    set(&stamps, EPOCH, range(&definition, 1, 2), policy("{}"));
    let stamp = word(&definition).unwrap();
    assert!(definition.is_in_force(FIRST, stamp));
    let is_current = |version, policy| stamps.is_current(FIRST, (EPOCH, version), policy);
    assert!(is_current(1, policy("{}")) && !is_current(2, policy("{}")));
    assert!(!is_current(1, policy("[]")), "its namings are not published");
    for (everything, floor) in [(9, 2), (1, 9)] {
        set(&stamps, EPOCH, range(&definition, everything, floor), policy("{}"));
        assert!(!definition.is_in_force(FIRST, stamp), "{everything} {floor}");
    }
}

#[test]
fn without_a_floor_of_everything_nothing_is_in_force() {
    let definition = definition(ENTITY);
    let stamps = Stamps::new(vec![Arc::clone(&definition)], Layout::Single);
    let mut range = range(&definition, 1, 2);
    range.floors.remove(&FloorScope::Everything);
    set(&stamps, EPOCH, range, policy("{}"));
    assert_eq!(word(&definition), None);
}

#[test]
fn a_range_that_is_empty_is_never_current() {
    let stamps = Stamps::new(Vec::new(), Layout::Single);
    set(&stamps, EPOCH, Range::default(), policy("{}"));
    assert!(!stamps.is_current(FIRST, (EPOCH, 0), policy("{}")));
}

#[test]
fn each_policy_has_a_word_of_its_own_and_one_that_is_not_published_has_none() {
    let definition = definition(ENTITY);
    let stamps = Stamps::new(vec![Arc::clone(&definition)], Layout::Single);
    let other = policy(r#"{"version":2}"#);
    let mut range = range(&definition, 1, 2);
    range.floors.insert(definition.naming(other).scope(), 3);
    set(&stamps, EPOCH, range.clone(), policy("{}"));
    assert_eq!(definition.word(FIRST, other, Duration::ZERO), None, "only another host uses it");
    set(&stamps, EPOCH, range, other);
    let words = [policy("{}"), other].map(|policy| {
        let stamp = definition.word(FIRST, policy, Duration::ZERO).unwrap();
        assert!(definition.is_in_force(FIRST, stamp));
        stamp
    });
    assert_ne!(words[0], words[1]);
    assert_eq!(definition.word(FIRST, policy("[]"), Duration::ZERO), None);
}

#[test]
fn a_naming_that_others_must_learn_first_is_believed_at_once_and_filled_later() {
    const LATER: Duration = Duration::from_secs(5);
    let definition = definition(ENTITY);
    let stamps = Stamps::new(vec![Arc::clone(&definition)], Layout::Single);
    let mut range = range(&definition, 1, 2);
    range.new = vec![naming(&definition).scope()];
    stamps.set(
        EPOCH,
        vec![(FIRST, range)],
        (&stamps.in_use(), policy("{}")),
        LATER,
        Duration::ZERO,
    );
    let at = |now| definition.word(FIRST, policy("{}"), now);
    let just_before = LATER - Duration::from_millis(1);
    assert_eq!(at(just_before), None);
    let stamp = at(LATER).unwrap();
    assert!(definition.is_in_force(FIRST, stamp));
    // Reading the range again meanwhile does not change the moment.
    stamps.set(
        EPOCH,
        vec![(FIRST, self::range(&definition, 1, 2))],
        (&stamps.in_use(), policy("{}")),
        LATER * 2,
        Duration::ZERO,
    );
    assert_eq!((at(just_before), at(LATER)), (None, Some(stamp)));
}

#[test]
fn what_was_learned_in_a_store_that_forgot_counts_no_more() {
    let definition = definition(ENTITY);
    let (ours, other) = (policy("{}"), policy(r#"{"version":2}"#));
    let both = |everything, floor| {
        let mut range = range(&definition, everything, floor);
        range.floors.insert(definition.naming(other).scope(), floor);
        range
    };
    for (epoch, everything) in [(Epoch(8), 1), (EPOCH, 9)] {
        let stamps = Stamps::new(vec![Arc::clone(&definition)], Layout::Single);
        set(&stamps, EPOCH, both(1, 2), other);
        set(&stamps, EPOCH, both(1, 2), ours);
        assert_eq!(stamps.learned(FIRST, LEARNED_WITHIN).len(), 2, "both namings were published");
        assert!(definition.word(FIRST, other, Duration::ZERO).is_some());
        // Another host has published the other naming again, and some host may not have read the
        // range since.
        let range = both(everything, 3);
        assert!(!stamps.has_used(&naming(&definition).scope(), epoch, (FIRST, &range)));
        set(&stamps, epoch, range, ours);
        assert_eq!(stamps.learned(FIRST, LEARNED_WITHIN), [(naming(&definition).scope(), 3)]);
        assert_eq!(definition.word(FIRST, other, Duration::ZERO), None);
    }
}

#[test]
fn a_naming_that_is_unused_again_is_filled_no_sooner_for_that() {
    const LATER: Duration = Duration::from_secs(5);
    let definition = definition(ENTITY);
    let stamps = Stamps::new(vec![Arc::clone(&definition)], Layout::Single);
    for (fill_from, floor) in [(LATER, 2), (Duration::ZERO, 3)] {
        let mut range = range(&definition, 1, floor);
        range.new = vec![naming(&definition).scope()];
        stamps.set(
            EPOCH,
            vec![(FIRST, range)],
            (&stamps.in_use(), policy("{}")),
            fill_from,
            Duration::ZERO,
        );
    }
    assert_eq!(definition.word(FIRST, policy("{}"), LATER - Duration::from_millis(1)), None);
    assert!(definition.word(FIRST, policy("{}"), LATER).is_some());
}

#[test]
fn a_range_that_was_emptied_is_complete_once_every_host_has_learned_of_it() {
    let definition = definition(ENTITY);
    let noted = |everything| {
        let known = [naming(&definition).scope()].into();
        Range { known, ..range(&definition, everything, 2) }
    };
    let stamps = Stamps::new(vec![Arc::clone(&definition)], Layout::Single);
    let incomplete_for = |range, now_s| {
        let now = Duration::from_secs(now_s);
        stamps.set(
            EPOCH,
            vec![(FIRST, range)],
            (&stamps.in_use(), policy("{}")),
            Duration::ZERO,
            now,
        );
        assert_eq!(stamps.incomplete_for(now + LEARNED_WITHIN), Duration::ZERO);
        stamps.incomplete_for(now)
    };
    // To a host that starts, a new range and one that was emptied a moment ago look alike.
    assert_eq!(incomplete_for(range(&definition, 1, 2), 10), LEARNED_WITHIN);
    assert_eq!(incomplete_for(range(&definition, 1, 3), 20), Duration::ZERO, "nothing is lost");
    assert_eq!(incomplete_for(range(&definition, 9, 2), 30), LEARNED_WITHIN, "it was emptied");
    assert_eq!(incomplete_for(noted(8), 30), Duration::ZERO, "long ago, or a flush of everything");
}

#[test]
fn namings_that_the_range_loses_are_known_until_every_host_has_learned_of_that() {
    let definition = definition(ENTITY);
    let (ours, other) = (naming(&definition), definition.naming(policy(r#"{"version":2}"#)));
    let with = |namings: &[&Naming], everything| Range {
        namings: namings.iter().copied().cloned().collect(),
        ..range(&definition, everything, 2)
    };
    for everything in [1, 9] {
        let stamps = Stamps::new(vec![Arc::clone(&definition)], Layout::Single);
        let set = |range| {
            stamps.set(
                EPOCH,
                vec![(FIRST, range)],
                (&stamps.in_use(), policy("{}")),
                Duration::ZERO,
                LEARNED_WITHIN,
            )
        };
        set(with(&[&ours, &other], 1));
        assert!(stamps.lost(LEARNED_WITHIN).is_empty());
        set(with(&[&ours], everything));
        assert_eq!(stamps.lost(LEARNED_WITHIN), std::slice::from_ref(&other));
        assert!(stamps.lost(LEARNED_WITHIN * 2).is_empty());
    }
}

#[test]
fn nobody_notes_what_is_known_before_every_host_has_learned_of_a_loss() {
    let definition = definition(ENTITY);
    let noted = Range { known: [naming(&definition).scope()].into(), ..range(&definition, 1, 2) };
    let stamps = Stamps::new(vec![Arc::clone(&definition)], Layout::Single);
    set(&stamps, EPOCH, noted, policy("{}"));
    let now = Duration::from_secs(10);
    stamps.set(
        EPOCH,
        vec![(FIRST, range(&definition, 1, 2))],
        (&stamps.in_use(), policy("{}")),
        Duration::ZERO,
        now,
    );
    assert_eq!(stamps.learned(FIRST, now), []);
    assert_eq!(stamps.learned(FIRST, now + LEARNED_WITHIN), [(naming(&definition).scope(), 2)]);
    assert_eq!(stamps.incomplete_for(now), Duration::ZERO, "this host knows what was lost");
}

#[test]
fn a_naming_that_was_dropped_and_published_again_is_not_used_before() {
    let definition = definition(ENTITY);
    let stamps = Stamps::new(vec![Arc::clone(&definition)], Layout::Single);
    set(&stamps, EPOCH, range(&definition, 1, 2), policy("{}"));
    let scope = naming(&definition).scope();
    assert!(stamps.has_used(&scope, EPOCH, (FIRST, &range(&definition, 1, 2))));
    assert!(!stamps.has_used(&scope, EPOCH, (FIRST, &range(&definition, 1, 3))));
}

#[test]
fn in_several_ranges_a_new_naming_is_filled_once_it_is_published_in_all_of_them() {
    let definition = definition(ENTITY);
    let stamps = Stamps::new(vec![Arc::clone(&definition)], Layout::Slots);
    let ranges: Vec<RangeId> = Layout::Slots.ranges().collect();
    let [last, first @ ..] = &ranges[..] else { panic!("there are ranges") };
    let new = || Range { new: vec![naming(&definition).scope()], ..range(&definition, 1, 2) };
    let set = |of: &[RangeId], fill_from| {
        let read = of.iter().map(|range| (*range, new())).collect();
        stamps.set(EPOCH, read, (&stamps.in_use(), policy("{}")), fill_from, Duration::ZERO);
    };
    let second = Duration::from_secs;
    let word = |now| definition.word(first[0], policy("{}"), now);
    set(first, second(1));
    assert_eq!(word(second(9)), None, "a node is away, and its ranges with it");
    assert!(stamps.learned(first[0], second(9)).is_empty());
    set(&[*last], second(3));
    assert_eq!((word(second(2)), word(second(3))), (None, Some(Stamp::word([1, 2]))));
    // A naming that every host knows needs no other range.
    let stamps = Stamps::new(vec![Arc::clone(&definition)], Layout::Slots);
    let known = Range { known: [naming(&definition).scope()].into(), ..range(&definition, 1, 4) };
    let read = vec![(first[0], known)];
    stamps.set(EPOCH, read, (&stamps.in_use(), policy("{}")), second(1), Duration::ZERO);
    assert!(word(Duration::ZERO).is_some());
}
