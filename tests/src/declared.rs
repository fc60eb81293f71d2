//! Entities and writes in short form: tags and touches as a configuration spells them.
#![expect(clippy::expect_used, reason = "a declaration that can't be read proves nothing")]

use corral_host::config::{TagTemplate, TouchText};
use corral_host::policy::{Configuration, Entity, Terms, Way, Write};
use serde_json::{Map, Value};

/// An entity with these tags, whose parameters are texts.
#[must_use]
pub fn entity(name: &str, params: &[&str], tags: &[&str], terms: Terms) -> Entity {
    let tag = |tag: &&str| TagTemplate::parse(tag).expect("a tag").pieces().to_vec();
    Entity { tags: tags.iter().map(tag).collect(), terms, ..Entity::of(name, params) }
}

/// A write with these touches.
#[must_use]
pub fn write(name: &str, params: &[&str], way: Way, touches: &[&str]) -> Write {
    let touch = |text: &&str| TouchText::parse(text).expect("a touch").touch().clone();
    Write {
        name: name.to_owned(),
        parameters: Entity::of(name, params).parameters,
        way,
        touches: touches.iter().map(touch).collect(),
    }
}

/// A configuration of these entities, which come sorted by name, and of settings, a JSON object.
#[must_use]
pub fn configuration(mut entities: Vec<Entity>, settings: Value) -> Configuration {
    entities.sort_by(|one, other| one.name.cmp(&other.name));
    let settings = match settings {
        Value::Object(settings) => settings,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    };
    Configuration { entities, settings }
}
