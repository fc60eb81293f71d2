//! What the host hands over once: `[policy.settings]` of the configuration, and beside it what a
//! policy must know of the entities.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::bindings::exports::corral::policy::types::{Problem, Way};
use crate::lifetime::Adaption;
use crate::template::{Template, Touch};

/// In a memo's `spare`: below it the index of an entity, from it on the lifetime of a query.
const SPARE_QUERY: u32 = 65_536;

/// 30 days.
const DURATION_MAX_MS: u32 = 2_592_000_000;

pub struct Settings {
    pub namespace: String,
    pub jitter: f64,
    pub early_refresh: f64,
    pub lease_ms: u32,
    query_ttl_ms: u32,
    query_adaption: Adaption,
    /// Sorted by name, so that an entity has the same index in every instance.
    entities: Vec<Entity>,
}

pub struct Entity {
    name: String,
    pub params: Vec<String>,
    pub terms: Terms,
    pub tags: Vec<Template>,
    pub row_tags: Vec<Template>,
    pub row_columns: Vec<String>,
    writes: Vec<Write>,
}

#[derive(Clone, Copy)]
pub struct Terms {
    pub ttl_ms: u32,
    pub negative_ttl_ms: u32,
    pub stale_while_revalidate_ms: u32,
    pub stale_if_error_ms: u32,
    pub adaption: Adaption,
}

pub struct Write {
    name: String,
    pub params: Vec<String>,
    pub way: Way,
    pub touches: Vec<Touch>,
}

/// The JSON.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Declared {
    namespace: String,
    jitter: f64,
    early_refresh: f64,
    lease_ms: u32,
    /// By entity; `*` is for those that are not named, and for queries.
    adaptive: BTreeMap<String, Adaption>,
    query: DeclaredQuery,
    entities: BTreeMap<String, DeclaredEntity>,
}

impl Default for Declared {
    fn default() -> Self {
        Self {
            namespace: "v1".into(),
            jitter: 0.2,
            early_refresh: 1.0,
            lease_ms: 1_000,
            adaptive: BTreeMap::new(),
            query: DeclaredQuery { ttl_ms: 60_000 },
            entities: BTreeMap::new(),
        }
    }
}

#[derive(Deserialize)]
struct DeclaredQuery {
    ttl_ms: u32,
}

#[derive(Deserialize)]
struct DeclaredEntity {
    ttl_ms: u32,
    #[serde(default)]
    params: Vec<String>,
    #[serde(default = "negative_ttl_ms")]
    negative_ttl_ms: u32,
    #[serde(default)]
    stale_while_revalidate_ms: u32,
    #[serde(default)]
    stale_if_error_ms: u32,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    writes: BTreeMap<String, DeclaredWrite>,
}

#[derive(Deserialize)]
struct DeclaredWrite {
    #[serde(default)]
    params: Vec<String>,
    #[serde(default)]
    then: String,
    #[serde(default)]
    touches: Vec<String>,
}

/// A row that does not exist is often about to.
fn negative_ttl_ms() -> u32 {
    30_000
}

pub fn problem(path: &str, message: impl Into<String>) -> Problem {
    Problem {
        path: path.into(),
        message: message.into(),
    }
}

impl Default for Settings {
    fn default() -> Self {
        let Declared {
            namespace,
            jitter,
            early_refresh,
            lease_ms,
            query,
            ..
        } = Declared::default();
        let query_ttl_ms = query.ttl_ms;
        Self {
            namespace,
            jitter,
            early_refresh,
            lease_ms,
            query_ttl_ms,
            query_adaption: Adaption::default(),
            entities: Vec::new(),
        }
    }
}

impl Settings {
    pub fn try_new(text: &str) -> Result<Self, Vec<Problem>> {
        let declared: Declared =
            serde_json::from_str(text).map_err(|error| vec![problem("", error.to_string())])?;
        let mut problems = Vec::new();
        check(&declared, &mut problems);
        let params =
            |(name, entity): (&String, &DeclaredEntity)| (name.clone(), entity.params.clone());
        let signatures = declared.entities.iter().map(params).collect();
        let others = declared.adaptive.get("*").copied().unwrap_or_default();
        let adaption = |name: &str| declared.adaptive.get(name).copied().unwrap_or(others);
        let entities = declared.entities.into_iter();
        let settings = Self {
            namespace: declared.namespace,
            jitter: declared.jitter,
            early_refresh: declared.early_refresh,
            lease_ms: declared.lease_ms,
            query_ttl_ms: declared.query.ttl_ms,
            query_adaption: others,
            entities: entities
                .map(|(name, entity)| {
                    let adaption = adaption(&name);
                    read_entity(name, entity, adaption, &signatures, &mut problems)
                })
                .collect(),
        };
        if problems.is_empty() {
            Ok(settings)
        } else {
            Err(problems)
        }
    }

    pub fn entity(&self, name: &str) -> Option<(u32, &Entity)> {
        let at = self
            .entities
            .binary_search_by(|entity| entity.name.as_str().cmp(name))
            .ok()?;
        Some((at as u32, &self.entities[at]))
    }

    pub fn write(&self, entity: &str, write: &str) -> Option<&Write> {
        self.entity(entity)?
            .1
            .writes
            .iter()
            .find(|known| known.name == write)
    }

    pub fn spare_of_query(&self, ttl_ms: u32) -> u32 {
        let ttl_ms = if ttl_ms == 0 {
            self.query_ttl_ms
        } else {
            ttl_ms
        };
        SPARE_QUERY + ttl_ms.min(DURATION_MAX_MS)
    }

    /// The terms that a memo's `spare` stands for; none: this policy did not write it.
    pub fn terms(&self, spare: u32) -> Option<Terms> {
        let Some(ttl_ms) = spare.checked_sub(SPARE_QUERY) else {
            return self.entities.get(spare as usize).map(|entity| entity.terms);
        };
        (1..=DURATION_MAX_MS).contains(&ttl_ms).then_some(Terms {
            ttl_ms,
            negative_ttl_ms: ttl_ms,
            stale_while_revalidate_ms: 0,
            stale_if_error_ms: 0,
            adaption: self.query_adaption,
        })
    }
}

fn check(declared: &Declared, problems: &mut Vec<Problem>) {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let Declared {
        namespace,
        jitter,
        early_refresh,
        lease_ms,
        adaptive,
        query,
        entities,
    } = declared;
    let mut require = |holds: bool, path: &str, rule: &str| {
        if !holds {
            problems.push(problem(path, rule));
        }
    };
    let named = (1..=32).contains(&namespace.len()) && namespace.chars().all(legal);
    require(
        named,
        "namespace",
        "must be 1 to 32 of a-z, 0-9 and `. _ -`",
    );
    require(
        (0.0..=0.9).contains(jitter),
        "jitter",
        "must be a number from 0 to 0.9",
    );
    require(
        (0.0..=10.0).contains(early_refresh),
        "early_refresh",
        "must be a number from 0 to 10",
    );
    require(
        (100..=60_000).contains(lease_ms),
        "lease_ms",
        "must be from 100 to 60000",
    );
    let legal = |ms: u32| (1..=DURATION_MAX_MS).contains(&ms);
    require(
        legal(query.ttl_ms),
        "query.ttl_ms",
        "must be from 1 ms to 30 days",
    );
    for (name, adaption) in adaptive {
        let path = format!("adaptive.{name}");
        let known = name == "*" || entities.contains_key(name);
        require(known, &path, "is no entity");
        require(
            adaption.is_legal(),
            &path,
            "needs `least` above 0, at most 1, and `dear_ms` above 0",
        );
    }
    for (name, entity) in entities {
        let stale_ms = entity
            .stale_while_revalidate_ms
            .max(entity.stale_if_error_ms);
        let most_ms = stale_ms.max(entity.negative_ttl_ms);
        let path = format!("entities.{name}");
        require(
            legal(entity.ttl_ms),
            &format!("{path}.ttl_ms"),
            "must be from 1 ms to 30 days",
        );
        require(
            most_ms <= DURATION_MAX_MS,
            &path,
            "no time may be longer than 30 days",
        );
    }
}

fn read_entity(
    name: String,
    declared: DeclaredEntity,
    adaption: Adaption,
    signatures: &BTreeMap<String, Vec<String>>,
    problems: &mut Vec<Problem>,
) -> Entity {
    let params = declared.params;
    let path = format!("entities.{name}");
    let templates = parsed(&format!("{path}.tags"), &declared.tags, problems, |text| {
        Template::parse(text, &params)
    });
    let (row_tags, tags): (Vec<_>, Vec<_>) = templates
        .into_iter()
        .partition(|tag: &Template| tag.columns().next().is_some());
    let mut row_columns: Vec<String> = Vec::new();
    for column in row_tags.iter().flat_map(Template::columns) {
        if !row_columns.iter().any(|known| known == column) {
            row_columns.push(column.into());
        }
    }
    let writes = declared.writes.into_iter().map(|(name, write)| {
        let place = format!("{path}.writes.{name}.touches");
        let touches = parsed(&place, &write.touches, problems, |text| {
            Touch::parse(text, &write.params, signatures)
        });
        let way = if write.then == "write-through" {
            Way::Refreshed
        } else {
            Way::Removed
        };
        Write {
            name,
            params: write.params,
            way,
            touches,
        }
    });
    let writes = writes.collect();
    let terms = Terms {
        ttl_ms: declared.ttl_ms,
        negative_ttl_ms: declared.negative_ttl_ms,
        stale_while_revalidate_ms: declared.stale_while_revalidate_ms,
        stale_if_error_ms: declared.stale_if_error_ms,
        adaption,
    };
    Entity {
        name,
        params,
        terms,
        tags,
        row_tags,
        row_columns,
        writes,
    }
}

/// What can be read; what can't is a problem.
fn parsed<T>(
    path: &str,
    texts: &[String],
    problems: &mut Vec<Problem>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let mut items = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        match parse(text) {
            Ok(item) => items.push(item),
            Err(error) => problems.push(problem(
                &format!("{path}[{at}]"),
                format!("`{text}`: {error}"),
            )),
        }
    }
    items
}
