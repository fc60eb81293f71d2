//! What waits to be compared, bounded in number and in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::trail::{Flown, RecordedTurn};
use crate::policy::{Argument, Change, Column, Generation, Named, Request, RowChange, Subject};

/// Flights and changes that may wait; most take a few kilobytes.
pub(super) const QUEUE: usize = 4_096;

/// Bytes of all that wait. A single row of a change may have a megabyte, and so may a plan's tags.
const QUEUE_BYTES: usize = 16 << 20;

/// What the policy in force was asked.
pub(super) enum ShadowedCall {
    Flight(Flown),
    Change(Change, Arc<Generation>),
}

/// The end of the queue into which requests put what they asked.
pub(super) struct ShadowQueue {
    calls: SyncSender<QueuedCall>,
    /// The bytes of all that wait or are being compared.
    bytes: Arc<AtomicUsize>,
}

/// A call in the queue. It makes room when it is dropped, wherever that happens.
pub(super) struct QueuedCall {
    call: ShadowedCall,
    bytes: usize,
    of: Arc<AtomicUsize>,
}

impl ShadowQueue {
    pub(super) fn new() -> (Self, Receiver<QueuedCall>) {
        let (calls, asked) = sync_channel(QUEUE);
        (Self { calls, bytes: Arc::default() }, asked)
    }

    /// Whether there was room for the call. If not, it is dropped.
    pub(super) fn push(&self, call: ShadowedCall) -> bool {
        let bytes = call.bytes();
        let waiting = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let queued = QueuedCall { call, bytes, of: Arc::clone(&self.bytes) };
        waiting <= QUEUE_BYTES && self.calls.try_send(queued).is_ok()
    }
}

impl QueuedCall {
    pub(super) fn call(&self) -> &ShadowedCall {
        &self.call
    }
}

impl Drop for QueuedCall {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What an item of a list takes beside its texts, roughly.
const EACH: usize = 64;

impl ShadowedCall {
    /// What the call holds in memory, roughly.
    fn bytes(&self) -> usize {
        match self {
            Self::Flight(Flown { request, plan, before, turns }) => {
                let turns = (before.len() + turns.len()) * size_of::<RecordedTurn>();
                of_request(request) + of_plan(plan) + turns
            }
            Self::Change(change, _) => of_change(change),
        }
    }
}

fn of_request(request: &Request) -> usize {
    let subject = match &request.subject {
        Subject::Entity(name) => name.len(),
        Subject::Query(query) => query.sql.len() + of_texts(query.tags.iter().map(String::as_str)),
    };
    EACH + subject + of_arguments(&request.arguments)
}

fn of_plan(plan: &Named) -> usize {
    let columns = of_texts(plan.row_columns.iter().map(String::as_str));
    let tags = of_texts(plan.tags.iter().map(|tag| tag.as_str()));
    EACH + plan.key.as_str().len() + tags + columns
}

fn of_change(change: &Change) -> usize {
    let arguments = match change {
        Change::Written(written) => written.write.len() + of_arguments(&written.arguments),
        Change::Logged(_) => 0,
    };
    let of_row = |row: &RowChange| of_columns(&row.before) + of_columns(&row.after);
    EACH + change.about().len() + arguments + change.rows().iter().map(of_row).sum::<usize>()
}

fn of_arguments(arguments: &[Argument]) -> usize {
    let value = |argument: &Argument| argument.value.as_ref().map_or(0, String::len);
    arguments.iter().map(|argument| EACH + argument.name.len() + value(argument)).sum()
}

fn of_columns(columns: &[Column]) -> usize {
    columns.iter().map(|column| EACH + column.bytes()).sum()
}

fn of_texts<'t>(texts: impl Iterator<Item = &'t str>) -> usize {
    texts.map(|text| EACH + text.len()).sum()
}
