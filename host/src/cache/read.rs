//! A read: of an entity with its arguments, or of an ad-hoc query.

use std::sync::Arc;

use super::{Definition, Loader};
use crate::config::EntityConfig;
use crate::origin::Value;
use crate::policy::{Argument, Generation, Named, Query, Refusal, Request, Subject, Undecided};
use crate::read_name::ReadName;

/// A read with everything it needs.
pub struct CacheRead {
    pub(super) definition: Arc<Definition>,
    /// The definition's entity, or the stand-in that an ad-hoc query has of its own.
    entity: Arc<EntityConfig>,
    pub(super) values: Vec<Value>,
    pub(super) name: ReadName,
    pub(super) query: Option<Query>,
    pub(super) loader: Arc<dyn Loader>,
    pub(super) bypass: bool,
}

impl CacheRead {
    /// A read of an entity; the values stand in the order of its parameters.
    #[must_use]
    pub fn new(definition: Arc<Definition>, values: Vec<Value>, loader: Arc<dyn Loader>) -> Self {
        let name = ReadName::new(&definition.entity.name, values.iter().map(Value::canonical));
        let entity = Arc::clone(&definition.entity);
        Self { definition, entity, values, name, query: None, loader, bypass: false }
    }

    /// The same read with a statement that no entity of the configuration has; `entity` stands for
    /// it. All that the query asks for is part of the read's name.
    #[must_use]
    pub fn of_query(self, query: Query, entity: Arc<EntityConfig>) -> Self {
        let ttl = query.ttl_ms.to_string();
        let types: Vec<String> = self.values.iter().map(|value| value.ty().to_string()).collect();
        let values = types.iter().zip(&self.values);
        let values = values.flat_map(|(ty, value)| [Some(&**ty), value.canonical()]);
        let rest = [Some(&*query.sql), Some(&*ttl)].into_iter();
        let tags = query.tags.iter().map(|tag| Some(tag.as_str()));
        let texts: Vec<Option<&str>> = rest.chain(tags).chain([None]).chain(values).collect();
        let name = ReadName::new(&self.definition.entity.name, texts.iter().copied());
        Self { name, entity, query: Some(query), ..self }
    }

    /// The same read; `bypass` says whether its caller wants a value that is loaded after the
    /// request began.
    #[must_use]
    pub fn bypassing(self, bypass: bool) -> Self {
        Self { bypass, ..self }
    }

    pub(super) fn entity(&self) -> &EntityConfig {
        &self.entity
    }

    /// The read in the policy's words.
    #[must_use]
    pub fn request(&self) -> Request {
        let entity = self.entity();
        let subject = match &self.query {
            Some(query) => Subject::Query(query.clone()),
            None => Subject::Entity(entity.name.clone()),
        };
        let arguments = entity.params.iter().zip(&self.values).map(|(param, value)| Argument {
            name: param.name.clone(),
            value: value.canonical().map(str::to_owned),
        });
        Request { subject, arguments: arguments.collect() }
    }

    /// The read's plan under `generation`.
    pub(super) fn plan(
        &self,
        generation: &Generation,
    ) -> Result<Result<Arc<Named>, Refusal>, Undecided> {
        match self.query {
            Some(_) => generation.name(&self.request()),
            None => generation.name_read(&self.name, || self.request()),
        }
    }
}
