//! Random sequences of operations, on a store and on a model of it that fits a screen.
//!
//! The model knows no time: leases, lifetimes and marks outlast a sequence.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use corral_host::store::{Claim, Claimed, Filled, Indexed, Mode, Store, Token};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use tokio::runtime::Runtime;

use super::{LONG, Subject};

/// One operation; keys, tags and tokens by number.
#[derive(Debug, Clone)]
enum Operation {
    Get(u8),
    Claim { key: u8, token: u8, seen: u64, take_over: bool },
    Fill { key: u8, token: u8, loaded: u64 },
    Renew(u8, u8),
    Release(u8, u8),
    InvalidateKeys(Vec<u8>),
    InvalidateTag(u8),
    Index { tag: u8, key: u8 },
}

/// What can be seen of an answer, times left out.
#[derive(Debug, PartialEq)]
enum Answer {
    Loaded(Option<u64>),
    Granted,
    Held,
    Found(u64),
    Done(bool),
    Removed(u64),
}

#[derive(Default)]
struct Model {
    values: BTreeMap<u8, u64>,
    leases: BTreeMap<u8, u8>,
    index: BTreeSet<(u8, u8)>,
    marks: BTreeSet<u8>,
}

impl Model {
    fn apply(&mut self, operation: &Operation) -> Answer {
        match operation {
            Operation::Get(key) => Answer::Loaded(self.values.get(key).copied()),
            Operation::Claim { key, token, seen, take_over } => {
                let newer = self.values.get(key).filter(|loaded| *loaded > seen);
                match newer {
                    Some(loaded) if !take_over => Answer::Found(*loaded),
                    _ if !take_over && self.leases.contains_key(key) => Answer::Held,
                    _ => {
                        self.leases.insert(*key, *token);
                        Answer::Granted
                    }
                }
            }
            Operation::Fill { key, token, loaded } => {
                let ours = self.release(*key, *token);
                if ours {
                    self.values.insert(*key, *loaded);
                }
                Answer::Done(ours)
            }
            Operation::Renew(key, token) => Answer::Done(self.leases.get(key) == Some(token)),
            Operation::Release(key, token) => Answer::Done(self.release(*key, *token)),
            Operation::InvalidateKeys(keys) => Answer::Removed(self.invalidate(keys)),
            Operation::InvalidateTag(tag) => {
                self.marks.insert(*tag);
                let members = self.index.extract_if(.., |(of, _)| of == tag);
                let keys: Vec<_> = members.map(|(_, key)| key).collect();
                Answer::Removed(self.invalidate(&keys))
            }
            Operation::Index { tag, key } => {
                self.index.insert((*tag, *key));
                Answer::Done(self.marks.contains(tag))
            }
        }
    }

    fn release(&mut self, key: u8, token: u8) -> bool {
        let ours = self.leases.get(&key) == Some(&token);
        if ours {
            self.leases.remove(&key);
        }
        ours
    }

    fn invalidate(&mut self, keys: &[u8]) -> u64 {
        let mut removed = 0;
        for key in keys {
            let ends = (self.values.remove(key), self.leases.remove(key));
            removed += u64::from(ends != (None, None));
        }
        removed
    }
}

async fn apply(subject: Subject<'_>, operation: &Operation) -> Result<Answer> {
    let store = subject.store;
    let key = |n: &u8| subject.key(&format!("k{n}"));
    let tag = |n: &u8| subject.tag(&format!("t{n}"));
    let token = |n: &u8| Token::new(u128::from(*n));
    Ok(match operation {
        Operation::Get(k) => {
            Answer::Loaded(store.get(&key(k)?).await?.map(|value| value.loaded_at_ms))
        }
        Operation::Claim { key: k, token: t, seen, take_over } => {
            let mode = if *take_over { Mode::TakeOver } else { Mode::IfFree };
            let (key, token) = (key(k)?, token(t));
            match store.claim(Claim { key: &key, token, lease: LONG, seen_ms: *seen, mode }).await?
            {
                Claimed::Granted { .. } => Answer::Granted,
                Claimed::Held { .. } => Answer::Held,
                Claimed::Found(envelope) => Answer::Found(envelope.loaded_at_ms),
            }
        }
        Operation::Fill { key: k, token: t, loaded } => {
            let filled = store.fill(&key(k)?, token(t), &subject.envelope(*loaded)).await?;
            Answer::Done(filled == Filled::Stored)
        }
        Operation::Renew(k, t) => Answer::Done(store.renew(&key(k)?, token(t), LONG).await?),
        Operation::Release(k, t) => Answer::Done(store.release(&key(k)?, token(t)).await?),
        Operation::InvalidateKeys(keys) => {
            let keys = keys.iter().map(key).collect::<Result<Vec<_>>>()?;
            Answer::Removed(store.invalidate_keys(&keys).await?.keys)
        }
        Operation::InvalidateTag(t) => {
            Answer::Removed(store.invalidate_tag(&tag(t)?, LONG).await?.keys)
        }
        Operation::Index { tag: t, key: k } => {
            let indexed = store.index(&tag(t)?, &key(k)?, subject.after(LONG)).await?;
            Answer::Done(indexed == Indexed::Marked)
        }
    })
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    // Few names and times, so that they meet.
    let (key, tag, token, time) = (|| 0..3_u8, || 0..2_u8, || 0..3_u8, || 0..4_u64);
    let claim = (key(), token(), time(), prop::bool::weighted(0.2))
        .prop_map(|(key, token, seen, take_over)| Operation::Claim { key, token, seen, take_over });
    let fill = (key(), token(), time()).prop_map(|(key, token, loaded)| Operation::Fill {
        key,
        token,
        loaded,
    });
    let operation = prop_oneof![
        2 => key().prop_map(Operation::Get),
        5 => claim,
        5 => fill,
        1 => (key(), token()).prop_map(|(key, token)| Operation::Renew(key, token)),
        1 => (key(), token()).prop_map(|(key, token)| Operation::Release(key, token)),
        1 => prop::collection::vec(key(), 0..3).prop_map(Operation::InvalidateKeys),
        1 => tag().prop_map(Operation::InvalidateTag),
        3 => (tag(), key()).prop_map(|(tag, key)| Operation::Index { tag, key }),
    ];
    prop::collection::vec(operation, 1..60)
}

async fn agree(subject: Subject<'_>, operations: &[Operation]) -> Result<()> {
    let mut model = Model::default();
    for (n, operation) in operations.iter().enumerate() {
        let (expected, answered) = (model.apply(operation), apply(subject, operation).await?);
        ensure!(
            answered == expected,
            "operation {n}, {operation:?}: {answered:?} instead of {expected:?}"
        );
    }
    Ok(())
}

/// Compares `store` with the model over `cases` random sequences that `seed` determines.
///
/// # Errors
/// The shortest sequence found on which they differ.
pub fn compare(
    runtime: &Runtime,
    store: &dyn Store,
    prefix: &str,
    seed: u64,
    cases: u32,
) -> Result<()> {
    let config = Config {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    };
    let round = std::cell::Cell::new(0_u64);
    let compared = TestRunner::new(config).run(&operations(), |operations| {
        round.set(round.get() + 1);
        let prefix = format!("{prefix}:{}", round.get());
        let subject = Subject { store, prefix: &prefix };
        runtime
            .block_on(agree(subject, &operations))
            .map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });
    Ok(compared?)
}
