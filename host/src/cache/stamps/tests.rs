//! What changes a word, and what is in force.

use super::super::definition::tests::{ENTITY, definition, naming, policy};
use super::*;

const EPOCH: Epoch = Epoch(7);

/// The range of a store in which the definition is published under the policy with settings `{}`.
fn range(definition: &Definition, everything: u64, floor: u64) -> Range {
    let naming = naming(definition);
    let floors = [(FloorScope::Everything, everything), (naming.scope(), floor)];
    Range { version: 1, floors: floors.into(), namings: vec![naming], ..Range::default() }
}

fn stamp(definition: &Definition) -> Option<Stamp> {
    definition.stamp(policy("{}"), EPOCH, Duration::ZERO)
}

/// Sets a range of which every host knows all namings.
fn set(stamps: &Stamps, epoch: Epoch, range: Range, published: PolicyId) {
    stamps.set(epoch, range, (&stamps.in_use(), published), Duration::ZERO, Duration::ZERO);
}

#[test]
fn a_word_changes_with_every_part_of_it() {
    let word = |epoch, floors| Stamp::new(Epoch(epoch), floors).word;
    let others = [word(2, [2, 3]), word(1, [3, 3]), word(1, [2, 4]), word(1, [3, 2])];
    assert!(!others.contains(&word(1, [2, 3])));
}

#[test]
fn nothing_is_stamped_or_in_force_before_the_first_range() {
    let definition = definition(ENTITY);
    assert_eq!(stamp(&definition), None);
    assert!(!definition.is_in_force(Stamp::new(EPOCH, [1, 2]).word));
}

#[test]
fn a_stamp_is_in_force_until_its_epoch_or_one_of_its_floors_is_another() {
    let definition = definition(ENTITY);
    let stamps = Stamps::new(vec![Arc::clone(&definition)]);
    set(&stamps, EPOCH, range(&definition, 1, 2), policy("{}"));
    let stamp = stamp(&definition).unwrap();
    assert!(definition.is_in_force(stamp.word));
    let is_current = |version, policy| stamps.is_current(EPOCH, version, policy);
    assert!(is_current(1, policy("{}")) && !is_current(2, policy("{}")));
    assert!(!is_current(1, policy("[]")), "its namings are not published");
    for (epoch, everything, floor) in [(Epoch(8), 1, 2), (EPOCH, 9, 2), (EPOCH, 1, 9)] {
        set(&stamps, epoch, range(&definition, everything, floor), policy("{}"));
        assert!(!definition.is_in_force(stamp.word), "{epoch:?} {everything} {floor}");
        // A value that only its epoch makes untrue may be answered when a load fails.
        assert_eq!(definition.is_of_another_epoch(stamp), epoch != EPOCH);
    }
}

#[test]
fn without_a_floor_of_everything_nothing_is_in_force() {
    let definition = definition(ENTITY);
    let stamps = Stamps::new(vec![Arc::clone(&definition)]);
    let mut range = range(&definition, 1, 2);
    range.floors.remove(&FloorScope::Everything);
    set(&stamps, EPOCH, range, policy("{}"));
    assert_eq!(stamp(&definition), None);
}

#[test]
fn a_range_that_is_empty_is_never_current() {
    let stamps = Stamps::new(Vec::new());
    set(&stamps, EPOCH, Range::default(), policy("{}"));
    assert!(!stamps.is_current(EPOCH, 0, policy("{}")));
}

#[test]
fn a_load_is_not_stamped_while_the_table_is_that_of_another_epoch() {
    let definition = definition(ENTITY);
    let stamps = Stamps::new(vec![Arc::clone(&definition)]);
    set(&stamps, Epoch(8), range(&definition, 1, 2), policy("{}"));
    assert_eq!(stamp(&definition), None);
}

#[test]
fn each_policy_has_a_word_of_its_own_and_one_that_is_not_published_has_none() {
    let definition = definition(ENTITY);
    let stamps = Stamps::new(vec![Arc::clone(&definition)]);
    let other = policy(r#"{"version":2}"#);
    let mut range = range(&definition, 1, 2);
    range.floors.insert(definition.naming(other).scope(), 3);
    set(&stamps, EPOCH, range.clone(), policy("{}"));
    assert_eq!(definition.stamp(other, EPOCH, Duration::ZERO), None, "only another host uses it");
    set(&stamps, EPOCH, range, other);
    let words = [policy("{}"), other].map(|policy| {
        let stamp = definition.stamp(policy, EPOCH, Duration::ZERO).unwrap();
        assert!(definition.is_in_force(stamp.word));
        stamp.word
    });
    assert_ne!(words[0], words[1]);
    assert_eq!(definition.stamp(policy("[]"), EPOCH, Duration::ZERO), None);
}

#[test]
fn a_naming_that_others_must_learn_first_is_believed_at_once_and_filled_later() {
    const LATER: Duration = Duration::from_secs(5);
    let definition = definition(ENTITY);
    let stamps = Stamps::new(vec![Arc::clone(&definition)]);
    let mut range = range(&definition, 1, 2);
    range.new = vec![naming(&definition).scope()];
    stamps.set(EPOCH, range, (&stamps.in_use(), policy("{}")), LATER, Duration::ZERO);
    let at = |now| definition.stamp(policy("{}"), EPOCH, now);
    let just_before = LATER - Duration::from_millis(1);
    assert_eq!(at(just_before), None);
    let stamp = at(LATER).unwrap();
    assert!(definition.is_in_force(stamp.word));
    // Reading the range again meanwhile does not change the moment.
    stamps.set(
        EPOCH,
        self::range(&definition, 1, 2),
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
        let stamps = Stamps::new(vec![Arc::clone(&definition)]);
        set(&stamps, EPOCH, both(1, 2), other);
        set(&stamps, EPOCH, both(1, 2), ours);
        assert_eq!(stamps.learned(LEARNED_WITHIN).len(), 2, "both namings were published");
        assert!(definition.stamp(other, EPOCH, Duration::ZERO).is_some());
        // Another host has published the other naming again, and some host may not have read the
        // range since.
        let range = both(everything, 3);
        assert!(!stamps.has_used(&naming(&definition).scope(), epoch, &range));
        set(&stamps, epoch, range, ours);
        assert_eq!(stamps.learned(LEARNED_WITHIN), [(naming(&definition).scope(), 3)]);
        assert_eq!(definition.stamp(other, epoch, Duration::ZERO), None);
    }
}

#[test]
fn a_naming_that_is_unused_again_is_filled_no_sooner_for_that() {
    const LATER: Duration = Duration::from_secs(5);
    let definition = definition(ENTITY);
    let stamps = Stamps::new(vec![Arc::clone(&definition)]);
    for (fill_from, floor) in [(LATER, 2), (Duration::ZERO, 3)] {
        let mut range = range(&definition, 1, floor);
        range.new = vec![naming(&definition).scope()];
        stamps.set(EPOCH, range, (&stamps.in_use(), policy("{}")), fill_from, Duration::ZERO);
    }
    assert_eq!(definition.stamp(policy("{}"), EPOCH, LATER - Duration::from_millis(1)), None);
    assert!(definition.stamp(policy("{}"), EPOCH, LATER).is_some());
}

#[test]
fn a_range_that_was_emptied_is_complete_once_every_host_has_learned_of_it() {
    let definition = definition(ENTITY);
    let noted = |everything| {
        let known = [naming(&definition).scope()].into();
        Range { known, ..range(&definition, everything, 2) }
    };
    let stamps = Stamps::new(vec![Arc::clone(&definition)]);
    let incomplete_for = |range, now_s| {
        let now = Duration::from_secs(now_s);
        stamps.set(EPOCH, range, (&stamps.in_use(), policy("{}")), Duration::ZERO, now);
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
        let stamps = Stamps::new(vec![Arc::clone(&definition)]);
        let set = |range| {
            stamps.set(
                EPOCH,
                range,
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
    let stamps = Stamps::new(vec![Arc::clone(&definition)]);
    set(&stamps, EPOCH, noted, policy("{}"));
    let now = Duration::from_secs(10);
    stamps.set(
        EPOCH,
        range(&definition, 1, 2),
        (&stamps.in_use(), policy("{}")),
        Duration::ZERO,
        now,
    );
    assert_eq!(stamps.learned(now), []);
    assert_eq!(stamps.learned(now + LEARNED_WITHIN), [(naming(&definition).scope(), 2)]);
    assert_eq!(stamps.incomplete_for(now), Duration::ZERO, "this host knows what was lost");
}

#[test]
fn a_naming_that_was_dropped_and_published_again_is_not_used_before() {
    let definition = definition(ENTITY);
    let stamps = Stamps::new(vec![Arc::clone(&definition)]);
    set(&stamps, EPOCH, range(&definition, 1, 2), policy("{}"));
    let scope = naming(&definition).scope();
    assert!(stamps.has_used(&scope, EPOCH, &range(&definition, 1, 2)));
    assert!(!stamps.has_used(&scope, EPOCH, &range(&definition, 1, 3)));
}
