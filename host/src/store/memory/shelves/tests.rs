use super::*;
use crate::store::{Digest, Epoch, Fingerprint, Prefix, Stamp};

const LEASE: Duration = Duration::from_millis(100);

fn name(key: &str) -> Name {
    let key = crate::store::StoreKey::try_new(key).unwrap();
    Name::new(&Prefix::default(), &Digest::of(["e"]), &key)
}

fn marking(ms: u64) -> Marking {
    Marking { lasts: Duration::from_millis(ms), epoch: Epoch(1) }
}

fn index(shelves: &mut Shelves, key: &str, of: &str, until_ms: u64, now_ms: u64) -> Vec<Mark> {
    shelves.index(&name(key), &[tag(of)], until_ms, now_ms).0.marks
}

fn tag(name: &str) -> StoreTag {
    StoreTag::try_new(name).unwrap()
}

fn until(stale_until_ms: u64) -> Envelope {
    Envelope {
        loaded_at_ms: 1,
        refresh_at_ms: stale_until_ms,
        fresh_until_ms: stale_until_ms,
        stale_until_ms,
        cost_ms: 0,
        etag: 11,
        generation: 0,
        fingerprint: Fingerprint(0),
        stamp: Stamp { epoch: Epoch(1), word: 1 },
        tag_slots: vec![],
        body: None,
    }
}

fn take(shelves: &mut Shelves, name: &Name, token: u128, now_ms: u64) -> Claimed {
    let token = LeaseToken::new(token);
    let claim = Claim { name, token, lease: LEASE, seen_ms: 0, mode: Mode::IfFree };
    shelves.claim(claim, now_ms)
}

fn fill(shelves: &mut Shelves, key: &str, stale_until_ms: u64, now_ms: u64) {
    let name = name(key);
    assert!(matches!(take(shelves, &name, 7, now_ms), Claimed::Granted { .. }));
    let filled = shelves.fill(&name, LeaseToken::new(7), &until(stale_until_ms), now_ms);
    assert_eq!(filled, Filled::Stored);
}

#[test]
fn a_lease_ends_to_the_millisecond() {
    let (mut shelves, k) = (Shelves::new(9, usize::MAX), name("k"));
    assert_eq!(take(&mut shelves, &k, 1, 1000), Claimed::Granted { now_ms: 1000 });
    let remaining = Duration::from_millis(1);
    assert_eq!(take(&mut shelves, &k, 2, 1099), Claimed::Held { remaining });
    assert_eq!(take(&mut shelves, &k, 2, 1100), Claimed::Granted { now_ms: 1100 });
    assert_eq!(shelves.fill(&k, LeaseToken::new(1), &until(9999), 1101), Filled::Rejected);
}

#[test]
fn over_capacity_the_value_that_ends_soonest_goes() {
    let mut shelves = Shelves::new(2, usize::MAX);
    fill(&mut shelves, "long", 3000, 0);
    fill(&mut shelves, "short", 1000, 0);
    fill(&mut shelves, "middle", 2000, 0);
    assert!(shelves.get(&name("short"), 1).is_none());
    assert!(shelves.get(&name("long"), 1).is_some() && shelves.get(&name("middle"), 1).is_some());
}

#[test]
fn over_its_bytes_the_values_that_end_soonest_go_until_the_rest_fits() {
    let mut shelves = Shelves::new(100, 10_000);
    for (key, until_ms) in [("a", 1_000), ("b", 2_000), ("c", 3_000)] {
        fill_with(&mut shelves, key, until_ms, 2_500);
    }
    assert!(["a", "b", "c"].iter().all(|key| shelves.get(&name(key), 1).is_some()));
    fill_with(&mut shelves, "d", 4_000, 5_000);
    let left: Vec<_> =
        ["a", "b", "c", "d"].iter().filter(|key| shelves.get(&name(key), 1).is_some()).collect();
    assert_eq!(left, [&"c", &"d"]);
    // A value that is too large alone is not kept, and a value that is gone takes up nothing.
    fill_with(&mut shelves, "e", 9_000, 20_000);
    assert_eq!(shelves.values.bytes(), 0);
}

fn fill_with(shelves: &mut Shelves, key: &str, stale_until_ms: u64, bytes: usize) {
    let name = name(key);
    take(shelves, &name, 7, 0);
    let body = Some(vec![b'x'; bytes].into());
    let envelope = Envelope { body, ..until(stale_until_ms) };
    assert_eq!(shelves.fill(&name, LeaseToken::new(7), &envelope, 0), Filled::Stored);
}

#[test]
fn over_its_bytes_the_memberships_that_end_soonest_go_and_take_their_values_along() {
    const NAMES: usize = 1_000;
    /// Room for all values and a third of the memberships: bytes are the limit, and not the number
    /// of entries.
    const BYTES: usize = 450_000;
    let mut shelves = Shelves::new(NAMES, BYTES);
    let (key, ends_ms) = (|n: usize| format!("k{n}"), |n: usize| 1_000 + n as u64);
    for n in 0..NAMES {
        fill(&mut shelves, &key(n), ends_ms(n), 0);
    }
    assert_eq!(shelves.values.len(), NAMES, "the values alone fit");
    for n in 0..NAMES {
        let long = format!("{n:0>width$}", width = crate::name::NAME_LIMIT);
        index(&mut shelves, &key(n), &long, ends_ms(n), 0);
        assert!(shelves.members.bytes() <= BYTES, "{} after {n}", shelves.members.bytes());
    }
    let kept = shelves.members.len();
    assert!((NAMES / 5..NAMES / 2).contains(&kept), "{kept}");
    // The other values are gone: an invalidation of their tags would no longer find them.
    for n in 0..NAMES {
        let is_there = shelves.get(&name(&key(n)), 0).is_some();
        assert_eq!(is_there, n >= NAMES - kept, "{n} with {kept} kept");
    }
}

#[test]
fn one_membership_that_is_too_much_alone_is_not_kept_and_neither_is_its_value() {
    let mut shelves = Shelves::new(9, 500);
    fill(&mut shelves, "k", 1_000, 0);
    assert!(shelves.get(&name("k"), 0).is_some(), "the control");
    let long = "t".repeat(crate::name::NAME_LIMIT);
    index(&mut shelves, "k", &long, 1_000, 0);
    assert_eq!((shelves.members.len(), shelves.members.bytes()), (0, 0));
    assert!(shelves.get(&name("k"), 0).is_none());
}

#[test]
fn the_store_of_a_host_without_redis_is_bounded_in_bytes_as_it_is_documented() {
    let store = crate::store::MemoryStore::default();
    assert_eq!(store.shelves().bytes, 256 << 20);
}

#[test]
fn over_capacity_the_lease_that_ends_soonest_goes_and_its_fill_is_rejected() {
    let mut shelves = Shelves::new(1, usize::MAX);
    let (first, second) = (name("first"), name("second"));
    take(&mut shelves, &first, 1, 0);
    take(&mut shelves, &second, 2, 1);
    assert_eq!(shelves.fill(&first, LeaseToken::new(1), &until(9999), 2), Filled::Rejected);
    assert_eq!(shelves.fill(&second, LeaseToken::new(2), &until(9999), 2), Filled::Stored);
}

#[test]
fn a_key_that_leaves_an_index_early_leaves_the_store_with_it() {
    let mut shelves = Shelves::new(1, usize::MAX);
    index(&mut shelves, "k", "t", 1000, 0);
    fill(&mut shelves, "k", 1000, 0);
    for n in 0..MEMBERS_PER_ENTRY {
        index(&mut shelves, &format!("other{n}"), "t", 2000, 0);
    }
    assert!(shelves.get(&name("k"), 1).is_none());
}

#[test]
fn a_mark_that_goes_early_stands_for_every_tag_until_its_end() {
    let mut shelves = Shelves::new(1, usize::MAX);
    shelves.begin_walk(&tag("first"), marking(50), 0);
    assert_eq!(index(&mut shelves, "k", "other", 1000, 0), []);
    shelves.begin_walk(&tag("second"), marking(100), 10);
    let mark = Mark { at_ms: 10, epoch: Epoch(1) };
    assert_eq!(index(&mut shelves, "k", "first", 1000, 49), [mark]);
    assert_eq!(index(&mut shelves, "k", "first", 1000, 50), []);
    assert_eq!(index(&mut shelves, "k", "second", 1000, 109), [mark]);
}

#[test]
fn what_is_over_takes_no_room() {
    let mut shelves = Shelves::new(100, usize::MAX);
    for n in 0..50 {
        let name = format!("k{n}");
        index(&mut shelves, &name, "t", n + 2, n);
        fill(&mut shelves, &name, n + 2, n);
    }
    assert!(shelves.values.len() <= 2 && shelves.members.len() <= 2);
    assert!(shelves.leases.len() <= 1);
}
