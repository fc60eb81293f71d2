//! An entity's statement changes on three hosts, one after the other, and is rolled back in the
//! same way ten minutes later: what that costs in loads, whether anything stale is read, and when
//! each host serves hits.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::fleet::{BUSY, Fleet, NEW, OLD, QUIET, ROWS};
use super::host::Terms;
use super::store::Fault;

const HOSTS: usize = 3;

/// The time between two hosts of a change.
const BETWEEN: Duration = Duration::from_secs(5);

/// The time from the end of the change to its roll-back.
const LATER: Duration = Duration::from_secs(600);

/// "At once" means within a beat, a few exchanges and a load or two.
const AT_ONCE: Duration = Duration::from_millis(100);

/// A naming that other hosts have to learn first is filled a second later, and until then its host
/// is not ready.
const LEARNED: Duration = Duration::from_secs(1);

/// Rows that clients do not read: this one, which every host reads, and from here on one for each
/// start of a host.
const WARM: u32 = 1_000;
const COLD: u32 = 1_001;

/// When a host was ready and when it first served a hit, since its start.
#[derive(Debug, Clone, Copy)]
struct Moments {
    ready: Duration,
    /// The first hit on a row that another host of its configuration had stored, if there was such
    /// a host.
    warm: Duration,
    /// The first hit on a row that it stored itself.
    cold: Duration,
}

/// One fleet, and how many of its hosts have started.
struct Story {
    fleet: Arc<Fleet>,
    started: u32,
}

impl Moments {
    fn are(&self, within: Range<Duration>) -> bool {
        [self.ready, self.warm, self.cold].iter().all(|moment| within.contains(moment))
    }

    fn are_at_once(&self) -> bool {
        self.are(Duration::ZERO..AT_ONCE)
    }

    fn are_a_second_later(&self) -> bool {
        self.are(LEARNED..LEARNED + AT_ONCE)
    }
}

/// How often each row was loaded under one configuration.
type Count = BTreeMap<u32, usize>;

impl Story {
    fn new(fault: Option<Fault>) -> Self {
        Self { fleet: Fleet::new(HOSTS, fault), started: 0 }
    }

    /// Starts a host in a seat; returns when it first served hits.
    async fn start(&mut self, seat: usize, terms: Terms) -> Moments {
        let host = self.fleet.start(seat, terms).await;
        self.started += 1;
        let own = COLD + self.started;
        let ready = async {
            let ready = host.ready().await;
            self.fleet.seat(&host);
            ready
        };
        let (ready, warm, cold) = tokio::join!(ready, host.first_hit(WARM), host.first_hit(own));
        Moments { ready, warm, cold }
    }

    /// Gives every host a configuration, one after the other; returns when each first served hits.
    async fn change(&mut self, terms: Terms) -> [Moments; HOSTS] {
        let mut moments = Vec::new();
        for seat in 0..HOSTS {
            let next = Instant::now() + BETWEEN;
            moments.push(self.start(seat, terms).await);
            sleep_until(next).await;
        }
        moments.try_into().unwrap()
    }

    /// The loads since the last call of the rows that clients read, by configuration.
    fn loads(&self) -> BTreeMap<u32, Count> {
        let mut loads: BTreeMap<u32, Count> = BTreeMap::new();
        for load in self.fleet.rows.take_loads().into_iter().filter(|load| load.row < ROWS) {
            *loads.entry(load.form).or_default().entry(load.row).or_default() += 1;
        }
        loads
    }
}

/// Starts three hosts with the first configuration and stores everything once; returns the moments
/// of their starts.
async fn begin(story: &mut Story, terms: Terms) -> [Moments; HOSTS] {
    let first = story.start(0, terms).await;
    sleep(BETWEEN).await;
    let newcomers = [story.start(1, terms).await, story.start(2, terms).await];
    story.fleet.read_all(&story.fleet.host(0)).await;
    [first, newcomers[0], newcomers[1]]
}

fn once_each() -> Count {
    (0..ROWS).map(|row| (row, 1)).collect()
}

/// A change and its roll-back while rows are only read and live for `ttl`. Returns the loads of the
/// roll-back, and when its hosts served hits.
async fn change_and_roll_back(ttl: Duration) -> (BTreeMap<u32, Count>, [Moments; HOSTS]) {
    let (old, new) = (Terms { ttl, ..OLD }, Terms { ttl, ..NEW });
    let mut story = Story::new(None);
    let starts = begin(&mut story, old).await;
    println!("the first host, and two more of its configuration: {starts:?}");
    assert!(starts[0].are_a_second_later(), "it begins its naming: {starts:?}");
    assert!(starts[1..].iter().all(Moments::are_at_once), "every host knows it: {starts:?}");
    assert_eq!(story.loads(), BTreeMap::from([(old.form, once_each())]));

    story.fleet.pause(BUSY);
    let clients = story.fleet.begin(0);
    let changed = story.change(new).await;
    println!("the same hosts with another configuration: {changed:?}");
    assert!(changed[0].are_a_second_later(), "it begins its naming: {changed:?}");
    assert!(changed[1..].iter().all(Moments::are_at_once), "every host knows it: {changed:?}");
    assert_eq!(story.loads(), BTreeMap::from([(new.form, once_each())]));

    story.fleet.pause(QUIET);
    sleep(LATER).await;
    story.loads();
    story.fleet.pause(BUSY);
    let back = story.change(old).await;
    println!("the same hosts rolled back: {back:?}");
    story.fleet.end(clients).await;
    assert_eq!(story.fleet.rows.verdict(), (0, vec![]));
    (story.loads(), back)
}

#[tokio::test(start_paused = true)]
async fn a_change_costs_one_load_per_key_and_its_roll_back_finds_what_is_kept() {
    let (loads, back) = change_and_roll_back(OLD.ttl).await;
    assert_eq!(loads, BTreeMap::new(), "values without a write were loaded again");
    assert!(back.iter().all(Moments::are_at_once), "{back:?}");
}

#[tokio::test(start_paused = true)]
async fn a_naming_that_is_out_of_use_begins_cold_when_it_is_rolled_back_to() {
    // A naming is in use for as long as its values may live at most, which is ten times this.
    let (mut loads, back) = change_and_roll_back(Duration::from_secs(30)).await;
    // The other configuration's values end by their age, and are loaded again while that
    // configuration is in force.
    loads.remove(&NEW.form);
    assert_eq!(loads, BTreeMap::from([(OLD.form, once_each())]));
    assert!(back[0].are_a_second_later(), "it begins its naming: {back:?}");
    assert!(back[1..].iter().all(Moments::are_at_once), "every host knows it: {back:?}");
}

/// The same beside writes. Returns the number of stale reads, the first complaints, and the fleet
/// with all its loads.
async fn change_under_writes(new: Terms, fault: Option<Fault>) -> (usize, Vec<String>, Story) {
    let mut story = Story::new(fault);
    begin(&mut story, OLD).await;
    story.fleet.pause(BUSY);
    let clients = story.fleet.begin(10);
    story.change(new).await;
    story.fleet.pause(QUIET);
    sleep(LATER).await;
    story.fleet.pause(BUSY);
    story.change(OLD).await;
    sleep(BETWEEN).await;
    story.fleet.end(clients).await;
    for seat in 0..HOSTS {
        story.fleet.read_all(&story.fleet.host(seat)).await;
    }
    let (stale, complaints) = story.fleet.rows.verdict();
    (stale, complaints, story)
}

#[tokio::test(start_paused = true)]
async fn nothing_stale_is_read_over_a_change_under_writes_and_its_roll_back() {
    let (stale, complaints, story) = change_under_writes(NEW, None).await;
    assert_eq!((stale, complaints), (0, vec![]));
    let loads = story.loads();
    for form in [OLD.form, NEW.form] {
        for (row, loads) in &loads[&form] {
            let allowed = 1 + story.fleet.rows.writes(*row);
            assert!(*loads as u64 <= allowed, "row {row}: {loads} loads, {allowed} had to be");
        }
    }
    let all_loads: usize = loads.values().flat_map(Count::values).sum();
    let writes: u64 = (0..ROWS).map(|row| story.fleet.rows.writes(row)).sum();
    let [reads, hits] =
        [&story.fleet.reads, &story.fleet.hits].map(|count| count.load(Ordering::Relaxed));
    println!("{reads} reads, {hits} of them hits, {writes} writes, {all_loads} loads");
    assert!(writes > 500 && hits > reads / 2, "{writes} writes, {hits} of {reads} are hits");
}

#[tokio::test(start_paused = true)]
async fn the_check_notices_hosts_that_do_not_learn_of_each_others_namings() {
    let (stale, complaints, _story) = change_under_writes(NEW, Some(Fault::HidesNamings)).await;
    assert!(stale > 0, "{complaints:?}");
}

#[tokio::test(start_paused = true)]
async fn the_check_notices_two_configurations_that_share_their_names() {
    let alike = Terms { statement: OLD.statement, ..NEW };
    let (_stale, complaints, _story) = change_under_writes(alike, None).await;
    assert!(complaints.iter().any(|what| what.contains("not form")), "{complaints:?}");
}
