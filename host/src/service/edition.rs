//! An edition: what one configuration says about reads, writes, and access to them. An edition is
//! exchanged as a whole, like a policy; a request keeps the edition that it began with.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cache::{Definition, Loader, SqlLoader};
use crate::config::{Config, EntityConfig};
use crate::name::Prefix;
use crate::origin::{Origin, WriteStatement};

use super::{RequestError, query, tags};

/// One configuration, ready to serve.
pub(crate) struct Edition {
    pub(super) config: Arc<Config>,
    pub(super) entities: BTreeMap<String, Arc<BoundEntity>>,
    /// The definition that stands for all ad-hoc queries.
    pub(super) query: Arc<Definition>,
    pub(super) tags: tags::Templates,
}

/// An entity with its statements, ready to be shared.
pub(super) struct BoundEntity {
    pub(super) entity: Arc<EntityConfig>,
    pub(super) definition: Arc<Definition>,
    /// How the entity is loaded; `None` if it has no statement and the program binds a closure.
    pub(super) loader: Option<Arc<dyn Loader>>,
    pub(super) writes: BTreeMap<String, Arc<WriteStatement>>,
}

impl Edition {
    pub(super) fn of(config: Config, origin: Option<&Arc<dyn Origin>>) -> Self {
        let bound = |entity| BoundEntity::of(entity, origin, &config.store.prefix);
        Self {
            entities: config.entities.values().map(bound).collect(),
            query: query::query_definition(&config),
            tags: tags::Templates::of(&config),
            config: Arc::new(config),
        }
    }

    /// The configuration that the edition was made of.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The entity of this name.
    pub(super) fn entity(&self, name: &str) -> Result<&Arc<BoundEntity>, RequestError> {
        self.entities.get(name).ok_or_else(|| RequestError::UnknownEntity(name.to_owned()))
    }

    /// The definitions of all entities, and that of ad-hoc queries.
    pub(super) fn definitions(&self) -> Vec<Arc<Definition>> {
        let entities = self.entities.values().map(|bound| Arc::clone(&bound.definition));
        entities.chain([Arc::clone(&self.query)]).collect()
    }
}

impl BoundEntity {
    fn of(
        entity: &EntityConfig,
        origin: Option<&Arc<dyn Origin>>,
        prefix: &Prefix,
    ) -> (String, Arc<Self>) {
        let writes = entity.writes.iter();
        let read = entity.read.clone().zip(origin.map(Arc::clone));
        let loader = read.map(|(statement, origin)| {
            Arc::new(SqlLoader { origin, statement: Arc::new(statement) }) as Arc<dyn Loader>
        });
        let shared = Arc::new(entity.clone());
        let bound = Self {
            definition: Definition::new(Arc::clone(&shared), prefix),
            entity: shared,
            loader,
            writes: writes.map(|(n, w)| (n.clone(), Arc::new(w.statement.clone()))).collect(),
        };
        (entity.name.clone(), Arc::new(bound))
    }
}
