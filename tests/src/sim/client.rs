//! A client: sends one request after another, each to a host that lives, and notes the outcome.

use std::sync::Arc;
use std::time::Duration;

use corral_host::cache::{Answer, ReadError, Via, WriteError};
use tokio::time::{sleep, timeout};

use super::history::{Event, RequestId};
use super::host::{Host, is_pending};
use super::schedule::Fleet;
use super::truth::{Change, Changed, ITEMS, Labelled, Subject, TEAMS};
use super::world::World;

/// How much later than the deadline an answer may come, for messages that are on their way at the
/// deadline.
const SLACK: Duration = Duration::from_millis(200);

/// After the deadline of a write, each exchange of its invalidation may take the store's whole time
/// budget.
const WRITE_SLACK: Duration = Duration::from_secs(30);

/// Sends its requests and ends.
pub(super) async fn run(world: Arc<World>, fleet: Arc<Fleet>) {
    for _ in 0..world.climate.requests {
        let pause = u64::try_from(world.climate.pause.as_millis()).unwrap_or(0);
        sleep(world.chance.millis(0, pause)).await;
        let Some(host) = fleet.any_living() else { continue };
        if !host.has_started().await {
            continue;
        }
        if world.chance.percent(world.climate.writes) {
            write(&world, &fleet, &host).await;
        } else if world.chance.percent(5) {
            invalidate(&world, &host).await;
        } else if world.climate.flushes && world.chance.percent(8) {
            flush(&world, &fleet, &host).await;
        } else {
            let fresh = world.chance.percent(10);
            read(&world, &fleet, &host, any_subject(&world), fresh).await;
        }
    }
}

fn any_item(world: &World) -> u8 {
    any_of(world, ITEMS)
}

fn any_team(world: &World) -> u8 {
    any_of(world, TEAMS)
}

fn any_of(world: &World, count: u8) -> u8 {
    if world.chance.percent(world.climate.hot) {
        return 0;
    }
    u8::try_from(world.chance.below(count.into())).unwrap_or(0)
}

fn any_subject(world: &World) -> Subject {
    let lists = world.climate.lists;
    match world.chance.below(100) {
        draw if draw < lists / 2 => Subject::Team(any_team(world)),
        draw if draw < lists => Subject::Roster(any_team(world)),
        _ => Subject::Item(any_item(world)),
    }
}

fn any_change(world: &World) -> Change {
    match world.chance.below(8) {
        0..=2 => Change::Put(any_item(world)),
        3 | 4 => Change::Through(any_item(world)),
        5 => Change::Move(any_item(world), any_team(world)),
        6 => Change::Delete(any_item(world)),
        _ => Change::Rename(any_team(world)),
    }
}

/// Makes one read, and notes its outcome.
pub(super) async fn read(
    world: &World,
    fleet: &Fleet,
    host: &Arc<Host>,
    subject: Subject,
    fresh: bool,
) {
    let request = fleet.next_request();
    fleet.note_drained(world);
    world.note(Event::Asked { request, host: host.number, life: host.life, subject, fresh });
    let died = host.died.notified();
    let answer = timeout(world.climate.deadline + SLACK, host.read(subject, fresh));
    let answer = tokio::select! {
        biased;
        () = died => return,
        answer = answer => answer,
    };
    world.note(match answer {
        Ok(answer) => answered(request, subject, answer),
        Err(_elapsed) => Event::Unanswered { request, why: "nothing came".to_owned(), late: true },
    });
}

fn answered(request: RequestId, subject: Subject, answer: Result<Answer, ReadError>) -> Event {
    match answer {
        Ok(answer) => {
            let body = answer.body.as_deref().map(|body| Labelled::decode(body, subject));
            match body {
                Some(None) => Event::WrongRow { request },
                body @ (None | Some(Some(_))) => Event::Answered {
                    request,
                    stale_if_error: answer.via == Via::StaleIfError,
                    near: answer.via == Via::Near,
                    body: body.flatten(),
                },
            }
        }
        Err(error) => Event::Unanswered { request, why: error.to_string(), late: false },
    }
}

/// An operator invalidates a row that has not changed, which must do no harm.
async fn invalidate(world: &World, host: &Arc<Host>) {
    let subject = any_subject(world);
    world.remark(|| format!("an operator invalidates {subject} through host {}", host.number));
    let died = host.died.notified();
    tokio::select! {
        biased;
        () = died => {}
        () = host.invalidate(subject) => {}
    }
}

/// A row changes behind the cache's back, and an operator flushes everything. Reads that begin
/// after the flush get the new row.
async fn flush(world: &World, fleet: &Fleet, host: &Arc<Host>) {
    let (request, change) = (fleet.next_request(), Change::Behind(any_item(world)));
    let (number, life) = (host.number, host.life);
    world.remark(|| format!("{change:?}, and host {number} is told to flush"));
    let changed = world.truth().commit(change);
    let died = host.died.notified();
    let done = tokio::select! {
        biased;
        () = died => return,
        done = host.flush() => done,
    };
    // The write counts only from now on, since nothing was promised before.
    world.note(Event::Wrote { request, life, host: number, change });
    for Changed { subject, version, there } in changed {
        world.note(Event::Committed { request, subject, version, there });
    }
    world.note(Event::Acknowledged { request, pending: !done });
}

async fn write(world: &World, fleet: &Fleet, host: &Arc<Host>) {
    let (request, change) = (fleet.next_request(), any_change(world));
    let (number, life) = (host.number, host.life);
    fleet.note_drained(world);
    world.note(Event::Wrote { request, life, host: number, change });
    let died = host.died.notified();
    let wrote = timeout(world.climate.deadline + WRITE_SLACK, host.write(change, request));
    let wrote = tokio::select! {
        biased;
        () = died => return,
        wrote = wrote => wrote,
    };
    world.note(match wrote {
        Ok(Ok(wrote)) => Event::Acknowledged { request, pending: is_pending(&wrote) },
        Ok(Err(error)) => Event::Failed {
            request,
            in_doubt: matches!(error, WriteError::Unknown(_) | WriteError::Interrupted),
            why: error.to_string(),
        },
        Err(_elapsed) => Event::Failed { request, in_doubt: true, why: "nothing came".to_owned() },
    });
}
