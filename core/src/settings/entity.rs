//! Entities and their writes.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::fields::Fields;
use super::is_name;
use crate::invalidation::{Signature, Touch, Write};
use crate::json::Value;
use crate::lifetime::{DURATION_MAX_MS, Terms};
use crate::template::Template;
use crate::{Way, key};

/// A stale answer is given only where the operator asked for it.
const STALE_DEFAULT_MS: u32 = 0;

/// A row that does not exist is often about to.
const NEGATIVE_TTL_DEFAULT_MS: u32 = 30_000;

/// Longest name of a parameter or a write, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// A declared read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entity {
    pub(crate) name: String,
    pub(crate) params: Vec<String>,
    pub(crate) terms: Terms,
    /// Tags that the request determines.
    pub(crate) tags: Vec<Template>,
    /// Tags for which the row is needed.
    pub(crate) row_tags: Vec<Template>,
    /// The columns that `row_tags` name, none twice.
    pub(crate) row_columns: Vec<String>,
    pub(crate) writes: Vec<Write>,
}

/// The parameters of an entity, as far as they can be read; [`read`] notes what is wrong with them.
pub(super) fn signature(entity: &Value<'_>) -> Vec<String> {
    let params = entity.object().and_then(|fields| fields.get("params")).and_then(Value::list);
    params.into_iter().flatten().filter_map(Value::text).map(ToOwned::to_owned).collect()
}

/// Reads an entity.
pub(super) fn read(name: &str, mut fields: Fields<'_, '_>, entities: &[Signature<'_>]) -> Entity {
    if !is_name(name, key::ENTITY_BYTES_MAX) {
        let message = format!("its name must be 1 to {} of {NAME}", key::ENTITY_BYTES_MAX);
        fields.reject("", message);
    }
    let params = read_params(&mut fields);
    let terms = read_terms(&mut fields);
    let templates = fields.parsed("tags", |text| Template::parse_of_read(text, &params));
    let (row_tags, tags): (Vec<_>, Vec<_>) =
        templates.into_iter().partition(|template| template.columns().next().is_some());
    let mut row_columns: Vec<String> = Vec::new();
    for column in row_tags.iter().flat_map(Template::columns) {
        if !row_columns.iter().any(|known| known == column) {
            row_columns.push(column.to_owned());
        }
    }
    let mut writes = Vec::new();
    for entry in fields.entries("writes") {
        let name = entry.name;
        writes.extend(fields.enter(entry).map(|fields| read_write(name, fields, entities)));
    }
    fields.finish();
    Entity { name: name.to_owned(), params, terms, tags, row_tags, row_columns, writes }
}

const NAME: &str = "letters, digits and `. _ -`";

fn read_terms(fields: &mut Fields<'_, '_>) -> Terms {
    let mut optional = |name, default| fields.number(name, Some(default), 0..=DURATION_MAX_MS);
    Terms {
        stale_while_revalidate_ms: optional("stale_while_revalidate_ms", STALE_DEFAULT_MS),
        stale_if_error_ms: optional("stale_if_error_ms", STALE_DEFAULT_MS),
        negative_ttl_ms: optional("negative_ttl_ms", NEGATIVE_TTL_DEFAULT_MS),
        ttl_ms: fields.number("ttl_ms", None, 1..=DURATION_MAX_MS),
    }
}

fn read_params(fields: &mut Fields<'_, '_>) -> Vec<String> {
    let mut params: Vec<String> = Vec::new();
    for (place, name) in fields.texts("params") {
        if !is_parameter(name) {
            let legal = "letters, digits and `_`";
            fields.reject(&place, format!("`{name}` must be 1 to {NAME_BYTES_MAX} of {legal}"));
        } else if params.iter().any(|param| param == name) {
            fields.reject(&place, format!("`{name}` is declared twice"));
        }
        params.push(name.to_owned());
    }
    params
}

/// Templates write a parameter as `{name}`, a column as `{row.name}` or `{old.name}`: a name has no
/// dot.
fn is_parameter(name: &str) -> bool {
    is_name(name, NAME_BYTES_MAX) && !name.contains(['.', '-'])
}

fn read_write(name: &str, mut fields: Fields<'_, '_>, entities: &[Signature<'_>]) -> Write {
    if !is_name(name, NAME_BYTES_MAX) {
        fields.reject("", format!("its name must be 1 to {NAME_BYTES_MAX} of {NAME}"));
    }
    let params = read_params(&mut fields);
    let way = match fields.text("then", "invalidate") {
        "invalidate" => Way::Removed,
        "write-through" => Way::Refreshed,
        other => {
            let known = "must be `invalidate` or `write-through`";
            fields.reject("then", format!("{known}, not `{other}`"));
            Way::Removed
        }
    };
    let touches = fields.parsed("touches", |text| Touch::parse(text, &params, entities));
    fields.finish();
    Write { name: name.to_owned(), params, way, touches }
}
