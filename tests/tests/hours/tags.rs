//! What an invalidated tag costs: one load per key, whatever the deadlines of other entities. A
//! mark lasts for twice the longest of these deadlines, but makes only those loads repeat that
//! overlap with the invalidation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;

use super::fleet::OLD;
use super::host::{Host, Terms};
use super::rows::{Rows, TEAMS};
use super::store::{Fault, Shared};

const ROWS: u32 = 40;

/// Readers of each row on each host, all at once.
const READERS: usize = 5;

/// Commits every row again, invalidates every tag, and then has every row read by many readers on
/// two hosts: at once, and again after `later`. Returns how many loads each row cost at first and
/// the second time.
async fn loads_after(
    longest_deadline: Duration,
    later: Duration,
    fault: Option<Fault>,
) -> [BTreeMap<u32, usize>; 2] {
    let (store, rows) = (Shared::new(fault), Arc::new(Rows::default()));
    let terms = Terms { longest_deadline, ..OLD };
    let hosts =
        [Host::start(&store, &rows, 0, terms).await, Host::start(&store, &rows, 1, terms).await];
    // If two hosts began a naming at the same time, it is filled a second later.
    sleep(Duration::from_secs(2)).await;
    read_all(&hosts, 0..ROWS).await;
    rows.take_loads();
    for team in 0..TEAMS {
        let of_team = |row: &u32| row % TEAMS == team;
        let versions: Vec<_> = (0..ROWS).filter(of_team).map(|r| (r, rows.commit(r))).collect();
        assert!(hosts[0].invalidate_tag(&format!("team:{team}")).await);
        versions.iter().for_each(|(row, version)| rows.acknowledge(0, *row, *version, false));
    }
    read_all(&hosts, 0..ROWS).await;
    let first = count(&rows);
    sleep(later).await;
    // The marks still last, and these rows carry the marked tags.
    read_all(&hosts, 0..2 * ROWS).await;
    let second = count(&rows);
    assert_eq!(rows.verdict(), (0, vec![]));
    [first, second]
}

async fn read_all(hosts: &[Arc<Host>], rows: std::ops::Range<u32>) {
    let readers = (0..READERS).flat_map(|_| rows.clone());
    let reads = readers.flat_map(|row| hosts.iter().map(move |host| host.read(row)));
    join_all(reads).await;
}

fn count(rows: &Rows) -> BTreeMap<u32, usize> {
    let mut loads = BTreeMap::new();
    for load in rows.take_loads() {
        *loads.entry(load.row).or_default() += 1;
    }
    loads
}

fn once_each(rows: std::ops::Range<u32>) -> BTreeMap<u32, usize> {
    rows.map(|row| (row, 1)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_key_is_loaded_once_after_its_tag_was_invalidated_whatever_other_entities_may_take() {
    for longest_deadline in [3, 60, 300].map(Duration::from_secs) {
        for later in [1, 5].map(Duration::from_secs) {
            let [first, second] = loads_after(longest_deadline, later, None).await;
            assert_eq!(first, once_each(0..ROWS), "beside {longest_deadline:?}");
            assert_eq!(second, once_each(ROWS..2 * ROWS), "beside {longest_deadline:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_count_of_loads_notices_a_mark_that_costs_loads_which_it_does_not_overlap() {
    let (deadline, later) = (Duration::from_secs(300), Duration::from_secs(5));
    let [first, second] = loads_after(deadline, later, Some(Fault::RenewsMarks)).await;
    let twice = |loads: &BTreeMap<u32, usize>| loads.values().all(|loads| *loads == 2);
    assert!(twice(&first) && twice(&second), "{first:?} {second:?}");
}
