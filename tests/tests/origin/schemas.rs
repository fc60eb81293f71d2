//! Schemas that another process changes while reads go on.
//!
//! A read that begins under one schema and ends under another may be answered according to any
//! schema in between, and no other.

mod postgres;
mod sqlite;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use corral_host::origin::{Fetched, Origin, ReadStatement, Value};
use corral_tests::servers::until;

use crate::kit::{AMPLE, many, one, value};

/// Reads that run at the same time.
const READERS: usize = 4;

/// Answers before the next change, so that each schema is read.
const ANSWERS: usize = 12;

/// The columns that every read asks for beside its rows.
const ASKED: [&str; 2] = ["v", "id"];

/// One change, and the table's only row after it.
struct Step {
    kind: &'static str,
    /// Statements that take effect at once.
    change: &'static str,
    row: &'static str,
    /// The canonical text of the column `v`; `None` if it has none.
    text: Option<&'static str>,
}

/// How many of the changes were made.
#[derive(Default)]
struct Progress {
    begun: AtomicUsize,
    done: AtomicUsize,
    answers: AtomicUsize,
}

/// Makes the changes while readers ask for `SELECT * FROM t`.
async fn play(origin: Arc<dyn Origin>, steps: &'static [Step], mut change: impl AsyncFnMut(&str)) {
    let progress = Arc::new(Progress::default());
    change(steps[0].change).await;
    let readers: Vec<_> = (0..READERS)
        .map(|reader| tokio::spawn(read(Arc::clone(&origin), steps, Arc::clone(&progress), reader)))
        .collect();
    for (number, step) in steps.iter().enumerate().skip(1) {
        progress.begun.store(number, Ordering::SeqCst);
        change(step.change).await;
        progress.done.store(number, Ordering::SeqCst);
        let before = progress.answers.load(Ordering::SeqCst);
        until(step.kind, async || {
            let is_broken = readers.iter().any(tokio::task::JoinHandle::is_finished);
            is_broken || progress.answers.load(Ordering::SeqCst) >= before + ANSWERS
        })
        .await;
    }
    progress.begun.store(steps.len(), Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
}

/// Reads until all changes are made, and judges every answer.
async fn read(
    origin: Arc<dyn Origin>,
    steps: &'static [Step],
    progress: Arc<Progress>,
    reader: usize,
) {
    let sql = "SELECT * FROM t WHERE id = $1";
    let read = if reader.is_multiple_of(2) { one(sql, &["int8"]) } else { many(sql, &["int8"]) };
    let asked: Vec<String> = match reader / 2 {
        0 => ASKED.map(str::to_owned).to_vec(),
        _ => Vec::new(),
    };
    loop {
        let from = progress.done.load(Ordering::SeqCst);
        let fetched = fetch(&*origin, &read, &asked).await;
        let to = progress.begun.load(Ordering::SeqCst);
        if to == steps.len() {
            return;
        }
        let possible = &steps[from..=to];
        let fits =
            possible.iter().any(|step| is_of(step, &fetched, reader % 2 == 1, !asked.is_empty()));
        let kinds: Vec<_> = possible.iter().map(|step| (step.kind, step.row)).collect();
        assert!(fits, "{fetched:?} is of none of {kinds:?}");
        progress.answers.fetch_add(1, Ordering::SeqCst);
    }
}

async fn fetch(origin: &dyn Origin, read: &ReadStatement, asked: &[String]) -> Fetched {
    let values: [Value; 1] = [value("int8", "1")];
    origin.load(read, &values, asked, AMPLE).await.unwrap()
}

/// Whether an answer fits the schema after a step.
fn is_of(step: &Step, fetched: &Fetched, is_list: bool, is_asked: bool) -> bool {
    let body = fetched.body.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    let row = if is_list { format!("[{}]", step.row) } else { step.row.to_owned() };
    let missing: &[String] = &fetched.missing;
    let is_named = match (is_asked, step.text) {
        (false, _) => fetched.rows.is_empty() && missing.is_empty(),
        (true, None) => missing.iter().any(|name| name == "v"),
        (true, text) => {
            let row = [text.map(str::to_owned), Some("1".to_owned())];
            fetched.rows == [row] && missing.is_empty()
        }
    };
    body == row && is_named
}
