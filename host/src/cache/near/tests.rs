//! What is kept, for how long, and what ends it.

use bytes::Bytes;

use super::*;
use crate::cache::answer::Via;
use crate::policy::{
    Change, Decider, Event, Manifest, Memo, Moment, NativePolicy, Plan, Refusal, Request, Row,
    Slot, Target, Trap, Turn,
};
use crate::store::{Digest, Epoch, Fingerprint, Prefix, Stamp};

const SECOND: Duration = Duration::from_secs(1);
const NOW_MS: u64 = 1_000_000;

/// The word that is in force.
const WORD: u64 = 77;

#[tokio::test(start_paused = true)]
async fn an_answer_is_given_again_until_its_time_is_over() {
    let world = World::new(1 << 20);
    world.keep("1", "k", &envelope(60_000), SECOND);
    let answer = world.look("1").unwrap();
    assert_eq!((answer.via, answer.age_ms, answer.ttl_ms), (Via::Near, 5_000, Some(60_000)));
    assert_eq!(answer.body.as_deref(), Some(&b"{}"[..]));
    tokio::time::advance(SECOND - Duration::from_millis(1)).await;
    let answer = world.look("1").unwrap();
    assert_eq!((answer.age_ms, answer.ttl_ms), (5_999, Some(59_001)));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(world.look("1").is_none());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_answered_past_its_refresh_point_or_its_freshness() {
    let world = World::new(1 << 20);
    let early = Envelope { refresh_at_ms: NOW_MS + 200, ..envelope(60_000) };
    world.keep("1", "k", &early, SECOND);
    world.keep("2", "l", &envelope(300), SECOND);
    world.keep("3", "m", &Envelope { refresh_at_ms: NOW_MS, ..envelope(60_000) }, SECOND);
    assert!(world.look("3").is_none());
    tokio::time::advance(Duration::from_millis(200)).await;
    assert!(world.look("1").is_none() && world.look("2").is_some());
    tokio::time::advance(Duration::from_millis(100)).await;
    assert!(world.look("2").is_none());
}

#[tokio::test(start_paused = true)]
async fn the_time_counts_from_before_the_get() {
    let world = World::new(1 << 20);
    let ticket = world.near.reserve(&name("k")).unwrap();
    tokio::time::advance(SECOND / 2).await;
    world.keep_with(ticket, "1", "k", &envelope(60_000), SECOND);
    tokio::time::advance(SECOND / 2 - Duration::from_millis(1)).await;
    assert!(world.look("1").is_some());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(world.look("1").is_none());
}

#[tokio::test]
async fn a_change_ends_what_was_kept_and_what_is_on_its_way() {
    type Change = fn(&Near);
    let changes: [Change; 2] = [|near| near.changed(name("k").as_str()), |near| near.all_changed()];
    for change in changes {
        let world = World::new(1 << 20);
        world.keep("1", "k", &envelope(60_000), SECOND);
        let ticket = world.near.reserve(&name("k")).unwrap();
        change(&world.near);
        assert!(world.look("1").is_none());
        world.keep_with(ticket, "1", "k", &envelope(60_000), SECOND);
        assert!(world.look("1").is_none(), "word came before the answer, and counts all the same");
        world.keep("1", "k", &envelope(60_000), SECOND);
        assert!(world.look("1").is_some());
    }
}

#[tokio::test]
async fn a_change_of_another_key_ends_nothing() {
    let world = World::new(1 << 20);
    world.keep("1", "k", &envelope(60_000), SECOND);
    world.near.changed(name("another").as_str());
    assert!(world.look("1").is_some());
}

#[tokio::test]
async fn a_stamp_that_is_not_in_force_any_more_is_not_answered() {
    let world = World::new(1 << 20);
    world.keep("1", "k", &envelope(60_000), SECOND);
    let looked = world.near.look(&read("1"), &world.generation, |_, _| false, Instant::now());
    assert!(looked.is_none());
    assert!(world.look("1").is_some(), "the answer itself is still there");
}

#[tokio::test]
async fn what_was_kept_before_trust_was_lost_is_never_answered_again() {
    let world = World::new(1 << 20);
    world.keep("1", "k", &envelope(60_000), SECOND);
    world.near.forget_all();
    assert!(world.look("1").is_none());
}

#[tokio::test]
async fn another_generation_has_its_own_answers() {
    let world = World::new(1 << 20);
    world.keep("1", "k", &envelope(60_000), SECOND);
    let newer = world.slot.activate_native(native());
    assert!(world.near.look(&read("1"), &newer, in_force, Instant::now()).is_none());
    world.near.sweep(&newer);
    assert_eq!(world.near.size(), (0, 0));
}

#[tokio::test]
async fn a_row_that_is_not_there_is_an_answer() {
    let world = World::new(1 << 20);
    world.keep("1", "k", &Envelope { body: None, ..envelope(60_000) }, SECOND);
    let answer = world.look("1").unwrap();
    assert_eq!((answer.body, answer.etag), (None, None));
}

#[tokio::test]
async fn what_headers_are_made_of_is_ready() {
    let world = World::new(1 << 20);
    world.keep("1", "a\"b", &envelope(60_000), SECOND);
    let ready = world.look("1").unwrap().ready.unwrap();
    assert_eq!(ready.status(), "; key=\"a\\\"b\"; detail=near");
    assert_eq!(ready.beside().get_or_make(|| 1), Some(&1));
    let again = world.look("1").unwrap().ready.unwrap();
    assert_eq!(again.beside().get_or_make(|| 2), Some(&1), "and kept");
}

#[tokio::test]
async fn it_never_weighs_more_than_it_may() {
    const BYTES: u64 = 1 << 18;
    let world = World::new(BYTES);
    let large = Envelope { body: Some(Bytes::from(vec![b'x'; 3_000])), ..envelope(60_000) };
    for n in 0..2_000 {
        world.keep(&n.to_string(), &format!("k{n}"), &large, SECOND);
        assert!(world.near.size().1 <= BYTES);
    }
    assert!(world.near.size().0 > 10);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_takes_what_is_over_and_leaves_the_rest() {
    let world = World::new(1 << 20);
    world.keep("1", "k", &envelope(60_000), SECOND);
    world.keep("2", "l", &envelope(60_000), SECOND * 2);
    world.near.changed(name("unknown").as_str());
    tokio::time::advance(SECOND).await;
    world.near.sweep(&world.generation);
    assert_eq!(world.near.size().0, 1);
    assert!(world.look("2").is_some());
}

#[tokio::test]
async fn switched_off_it_keeps_nothing() {
    let near = Near::new(0);
    assert!(near.reserve(&name("k")).is_none());
    near.all_changed();
    assert_eq!(near.size(), (0, 0));
}

struct World {
    near: Near,
    generation: Arc<Generation>,
    slot: Slot,
}

impl World {
    fn new(bytes: u64) -> Self {
        let slot = Slot::native(native());
        Self { near: Near::new(bytes), generation: slot.current(), slot }
    }

    fn keep(&self, value: &str, key: &str, envelope: &Envelope, at_most: Duration) {
        let ticket = self.near.reserve(&name(key)).unwrap();
        self.keep_with(ticket, value, key, envelope, at_most);
    }

    fn keep_with(
        &self,
        ticket: Ticket,
        value: &str,
        key: &str,
        envelope: &Envelope,
        at_most: Duration,
    ) {
        let (key, generation) = (StoreKey::try_new(key).unwrap(), &self.generation);
        let slot = HashSlot::of(key.as_str());
        let found =
            NearCandidate { key: &key, slot, envelope, generation, now_ms: NOW_MS, at_most };
        self.near.keep(ticket, &read(value), &found);
    }

    fn look(&self, value: &str) -> Option<Answer> {
        let looked = self.near.look(&read(value), &self.generation, in_force, Instant::now());
        looked.map(|(answer, _slot)| answer)
    }
}

fn read(value: &str) -> ReadName {
    ReadName::new("e", [Some(value)].into_iter())
}

fn name(key: &str) -> Name {
    let key = StoreKey::try_new(key).unwrap();
    Name::new(&Prefix::default(), &Digest::of(["e"]), &key)
}

fn in_force(_slot: HashSlot, word: u64) -> bool {
    word == WORD
}

fn envelope(fresh_ms: u64) -> Envelope {
    Envelope {
        loaded_at_ms: NOW_MS - 5_000,
        refresh_at_ms: NOW_MS + fresh_ms,
        fresh_until_ms: NOW_MS + fresh_ms,
        stale_until_ms: NOW_MS + fresh_ms,
        cost_ms: 1,
        generation: 1,
        etag: 42,
        fingerprint: Fingerprint(0),
        stamp: Stamp { epoch: Epoch(1), word: WORD },
        tag_slots: vec![],
        body: Some(Bytes::from_static(b"{}")),
    }
}

/// A policy that is never asked.
struct Silent;

fn native() -> NativePolicy {
    let manifest = Manifest { name: "silent".to_owned(), version: "1".to_owned() };
    NativePolicy { manifest, configuration: Arc::default(), policy: Arc::new(Silent) }
}

fn asked<T>(function: &'static str) -> Result<T, Trap> {
    Err(Trap { function, reason: "the test asks the policy nothing".to_owned() })
}

impl Decider for Silent {
    fn plan(&self, _request: &Request) -> Result<Result<Plan, Refusal>, Trap> {
        asked("plan")
    }

    fn row_tags(
        &self,
        _request: &Request,
        _rows: &[Row],
    ) -> Result<Result<Vec<String>, Refusal>, Trap> {
        asked("row-tags")
    }

    fn step(&self, _memo: Memo, _moment: Moment, _event: Event) -> Result<Turn, Trap> {
        asked("step")
    }

    fn invalidate(&self, _change: &Change) -> Result<Vec<Target>, Trap> {
        asked("invalidate")
    }
}
