use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_schedule_is_evenly_spread_and_keeps_its_rate() {
    for per_second in [0.5, 1.0, 7.0, 100.0, 999.0, 20_000.0, 33_333.0, 100_000.0, 1e6] {
        let schedule = Schedule::new(per_second);
        let ticks = schedule.ticks_in(10 * SECOND);
        let mut total = 0;
        for tick in 0..=ticks {
            let due = schedule.due_at(tick);
            let ideal = per_second * schedule.time_of(tick).as_secs_f64() + 1.0;
            assert!(
                due >= total && (due as f64 - ideal).abs() <= 1.0,
                "{per_second}: {due} {ideal}"
            );
            total = due;
        }
        assert!((total as f64 - per_second * 10.0).abs() <= 2.0, "{per_second}: {total}");
    }
}

#[test]
fn ticks_are_as_fine_as_the_schedule_and_no_finer_than_they_are_worth() {
    assert_eq!(Schedule::new(10_000.0).tick, SHORTEST_TICK);
    assert_eq!(Schedule::new(1e6).tick, SHORTEST_TICK);
    assert_eq!(Schedule::new(5_000.0).tick, Duration::from_micros(200));
    assert_eq!(Schedule::new(1_000.0).tick, LONGEST_TICK);
    assert_eq!(Schedule::new(1e-9).tick, LONGEST_TICK);
}

/// One request in virtual time: when it was to be sent, when it was sent, when it was answered.
struct Sent {
    intended: Instant,
    began: Instant,
    ended: Instant,
}

/// Asks, over one connection, a server that answers in a millisecond, but stands still for the
/// whole second after the first one.
async fn ask_a_server_that_stands_still(per_second: f64, time: Duration) -> (Vec<Sent>, u64) {
    let start = Instant::now();
    let desk = Desk::new(Schedule::new(per_second), start);
    let asking = async {
        let mut sent = Vec::new();
        while let Some(intended) = desk.next().await {
            let began = Instant::now();
            let since = began.duration_since(start);
            if (SECOND..2 * SECOND).contains(&since) {
                sleep(2 * SECOND - since).await;
            }
            sleep(Duration::from_millis(1)).await;
            sent.push(Sent { intended, began, ended: Instant::now() });
        }
        sent
    };
    tokio::join!(asking, keep(&desk, start + time, || false))
}

/// What [`Desk::keep`] does, in virtual time.
async fn keep(desk: &Desk, end: Instant, stopped: impl Fn() -> bool) -> u64 {
    loop {
        let now = Instant::now();
        if now >= end || stopped() {
            return desk.close(now.min(end));
        }
        desk.tick(now);
        sleep(desk.schedule.tick).await;
    }
}

fn slower_than(limit: Duration, latencies: impl Iterator<Item = Duration>) -> usize {
    latencies.filter(|latency| *latency > limit).count()
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_slow_answer_counts_from_when_it_was_to_be_sent() {
    let (sent, unsent) = ask_a_server_that_stands_still(100.0, 5 * SECOND).await;
    assert_eq!((sent.len(), unsent), (500, 0));
    // Of the hundred that fell into the second, those of its first half waited over half of it.
    let half = SECOND / 2;
    let corrected = slower_than(half, sent.iter().map(|sent| sent.ended - sent.intended));
    assert!((48..=56).contains(&corrected), "{corrected}");
    // Without the correction, only one request would count as slow.
    let omitted = slower_than(half, sent.iter().map(|sent| sent.ended - sent.began));
    assert_eq!(omitted, 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_server_can_not_take_is_unsent_and_not_forgotten() {
    // The server can take one request a millisecond, and five are due.
    let (sent, unsent) = ask_a_server_that_stands_still(5_000.0, SECOND).await;
    assert!((900..=1_001).contains(&sent.len()), "{}", sent.len());
    assert_eq!(sent.len() as u64 + unsent, 5_000);
    let last = sent.last().unwrap();
    assert!(last.ended - last.intended > SECOND / 2);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_schedule_lets_everybody_go() {
    let start = Instant::now();
    let desk = Desk::new(Schedule::new(0.01), start);
    let idle = || async {
        let mut taken = 0;
        while desk.next().await.is_some() {
            taken += 1;
        }
        taken
    };
    let stopped = || start.elapsed() > SECOND;
    let (one, two, three, _) =
        tokio::join!(idle(), idle(), idle(), keep(&desk, start + 1000 * SECOND, stopped));
    assert_eq!(one + two + three, 1);
    assert!(start.elapsed() < 2 * SECOND);
}

#[test]
fn a_schedule_is_kept_by_the_clock_and_not_ahead_of_it() {
    let start = Instant::now();
    let desk = Desk::new(Schedule::new(10_000.0), start);
    let unsent = desk.keep(start + Duration::from_millis(50), || false);
    assert!(start.elapsed() >= Duration::from_millis(50));
    // No connection took a request.
    assert_eq!(unsent, 500);
}
