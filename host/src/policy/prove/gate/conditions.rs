//! The conditions under which a candidate is examined: what is configured, and what is in force.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::name::StoreKey;
use crate::policy::{Argument, Configuration, Entity, Parameter, Request, Subject, Terms};

/// What a candidate would serve.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// What the candidate is configured with.
    pub configuration: Arc<Configuration>,
    /// The deadline of each entity's reads; `DEADLINE` for an entity that is not listed.
    pub deadlines: BTreeMap<String, Duration>,
    /// Ad-hoc queries; `None` if they are off.
    pub query: Option<QueryConditions>,
    /// The reads that are made just now, with the keys that the generation in force gives them.
    pub hot: Vec<HotRead>,
}

/// The deadline of an entity that names none.
const DEADLINE: Duration = Duration::from_secs(2);

/// Ad-hoc queries, as far as the gate needs to know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryConditions {
    /// How long answers are kept unless the caller asks for another time.
    pub ttl_ms: u32,
    /// The deadline of an answer.
    pub deadline: Duration,
}

/// A read that was made a short while ago.
#[derive(Debug, Clone, PartialEq)]
pub struct HotRead {
    /// The read.
    pub request: Request,
    /// The key that the generation in force gives it.
    pub key: StoreKey,
}

impl Conditions {
    /// Conditions of a configuration alone: usual deadlines, no ad-hoc queries, nothing hot.
    #[must_use]
    pub fn of(configuration: Configuration) -> Self {
        Self { configuration: Arc::new(configuration), ..Self::default() }
    }

    /// Every entity.
    #[must_use]
    pub fn entities(&self) -> &[Entity] {
        &self.configuration.entities
    }

    /// The deadline of an entity's reads.
    #[must_use]
    pub fn deadline(&self, entity: &str) -> Duration {
        self.deadlines.get(entity).copied().unwrap_or(DEADLINE)
    }
}

impl Entity {
    /// An entity that has parameters of type `text` and nothing else, and whose values may live as
    /// long as any.
    #[must_use]
    pub fn of(name: &str, params: &[&str]) -> Self {
        let parameter =
            |name: &&str| Parameter { name: (*name).to_owned(), type_name: "text".to_owned() };
        Self {
            name: name.to_owned(),
            parameters: params.iter().map(parameter).collect(),
            tags: Vec::new(),
            terms: Terms::LONGEST,
            writes: Vec::new(),
            depends: Vec::new(),
        }
    }

    /// Its read with these values, in the order of its parameters.
    pub(super) fn request(&self, values: &[Option<&str>]) -> Request {
        let names = self.parameters.iter().map(|parameter| parameter.name.as_str());
        let arguments = named(names, values);
        Request { subject: Subject::Entity(self.name.clone()), arguments }
    }
}

/// Values with the names of the parameters that they belong to.
pub(super) fn named<'n>(
    names: impl IntoIterator<Item = &'n str>,
    values: &[Option<&str>],
) -> Vec<Argument> {
    let argument = |(name, value): (&str, &Option<&str>)| Argument {
        name: name.to_owned(),
        value: value.map(str::to_owned),
    };
    names.into_iter().zip(values).map(argument).collect()
}
