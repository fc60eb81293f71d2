//! Random sequences of operations, on a store and on a model of it that fits a screen.
//!
//! The model has no time: leases, lifetimes and marks outlast a sequence.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use corral_host::store::{Claim, Claimed, Filled, LeaseToken, Mode, Store};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use tokio::runtime::Runtime;

use super::{Doomed, LONG, Subject};

/// One operation; names, tags and tokens by number.
#[derive(Debug, Clone)]
enum Operation {
    Get(u8),
    Claim { name: u8, token: u8, seen: u64, take_over: bool },
    Fill { name: u8, token: u8, loaded: u64 },
    Renew(u8, u8),
    Release(u8, u8),
    Invalidate { names: Vec<u8>, tags: Vec<u8> },
    Index { name: u8, tags: Vec<u8> },
}

/// What an answer shows, without its times.
#[derive(Debug, PartialEq)]
enum Answer {
    Loaded(Option<u64>),
    Granted,
    Held,
    Found(u64),
    Done(bool),
    Removed(u64),
    Marks(usize),
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
            Operation::Get(name) => Answer::Loaded(self.values.get(name).copied()),
            Operation::Claim { name, token, seen, take_over } => {
                let newer = self.values.get(name).filter(|loaded| *loaded > seen);
                match newer {
                    Some(loaded) if !take_over => Answer::Found(*loaded),
                    _ if !take_over && self.leases.contains_key(name) => Answer::Held,
                    _ => {
                        self.leases.insert(*name, *token);
                        Answer::Granted
                    }
                }
            }
            Operation::Fill { name, token, loaded } => {
                let ours = self.release(*name, *token);
                if ours {
                    self.values.insert(*name, *loaded);
                }
                Answer::Done(ours)
            }
            Operation::Renew(name, token) => Answer::Done(self.leases.get(name) == Some(token)),
            Operation::Release(name, token) => Answer::Done(self.release(*name, *token)),
            Operation::Invalidate { names, tags } => {
                self.marks.extend(tags);
                let members = self.index.extract_if(.., |(tag, _)| tags.contains(tag));
                let members: Vec<_> = members.map(|(_, name)| name).collect();
                Answer::Removed(self.invalidate(names) + self.invalidate(&members))
            }
            Operation::Index { name, tags } => {
                self.index.extend(tags.iter().map(|tag| (*tag, *name)));
                Answer::Marks(tags.iter().filter(|tag| self.marks.contains(tag)).count())
            }
        }
    }

    fn release(&mut self, name: u8, token: u8) -> bool {
        let ours = self.leases.get(&name) == Some(&token);
        if ours {
            self.leases.remove(&name);
        }
        ours
    }

    fn invalidate(&mut self, names: &[u8]) -> u64 {
        let mut removed = 0;
        for name in names {
            let ends = (self.values.remove(name), self.leases.remove(name));
            removed += u64::from(ends != (None, None));
        }
        removed
    }
}

async fn apply(subject: Subject<'_>, operation: &Operation) -> Result<Answer> {
    let store = subject.store;
    let name = |n: &u8| subject.name(&format!("k{n}"));
    let tag = |n: &u8| subject.tag(&format!("t{n}"));
    let token = |n: &u8| LeaseToken::new(u128::from(*n));
    Ok(match operation {
        Operation::Get(k) => {
            Answer::Loaded(store.get(&name(k)?).await?.answer.map(|value| value.loaded_at_ms))
        }
        Operation::Claim { name: k, token: t, seen, take_over } => {
            let mode = if *take_over { Mode::TakeOver } else { Mode::IfFree };
            let (name, token) = (name(k)?, token(t));
            let claim = Claim { name: &name, token, lease: LONG, seen_ms: *seen, mode };
            match store.claim(claim).await?.answer {
                Claimed::Granted { .. } => Answer::Granted,
                Claimed::Held { .. } => Answer::Held,
                Claimed::Found(envelope) => Answer::Found(envelope.loaded_at_ms),
            }
        }
        Operation::Fill { name: k, token: t, loaded } => {
            let filled = store.fill(&name(k)?, token(t), &subject.envelope(*loaded)).await?;
            Answer::Done(filled.answer == Filled::Stored)
        }
        Operation::Renew(k, t) => Answer::Done(store.renew(&name(k)?, token(t), LONG).await?),
        Operation::Release(k, t) => Answer::Done(store.release(&name(k)?, token(t)).await?),
        Operation::Invalidate { names, tags } => {
            let names = names.iter().map(|n| Ok(Doomed::Name(name(n)?)));
            let tags = tags.iter().map(|t| Ok(Doomed::Tag(tag(t)?)));
            let doomed = names.chain(tags).collect::<Result<Vec<_>>>()?;
            Answer::Removed(subject.remove(&doomed, LONG).await?)
        }
        Operation::Index { name: k, tags } => {
            let tags = tags.iter().map(tag).collect::<Result<Vec<_>>>()?;
            let indexed = store.index(&name(k)?, &tags, subject.after(LONG)).await?.answer;
            Answer::Marks(indexed.marks.len())
        }
    })
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    // Few names and times, so that operations often concern the same name.
    let (name, token, time) = (|| 0..3_u8, || 0..3_u8, || 0..4_u64);
    let tags = |count| prop::sample::subsequence(vec![0_u8, 1], count);
    let claim = (name(), token(), time(), prop::bool::weighted(0.2)).prop_map(
        |(name, token, seen, take_over)| Operation::Claim { name, token, seen, take_over },
    );
    let fill = (name(), token(), time()).prop_map(|(name, token, loaded)| Operation::Fill {
        name,
        token,
        loaded,
    });
    let operation = prop_oneof![
        2 => name().prop_map(Operation::Get),
        5 => claim,
        5 => fill,
        1 => (name(), token()).prop_map(|(name, token)| Operation::Renew(name, token)),
        1 => (name(), token()).prop_map(|(name, token)| Operation::Release(name, token)),
        2 => (prop::collection::vec(name(), 0..3), tags(0..2))
            .prop_map(|(names, tags)| Operation::Invalidate { names, tags }),
        3 => (name(), tags(1..3)).prop_map(|(name, tags)| Operation::Index { name, tags }),
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
