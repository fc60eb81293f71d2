//! `[policy.settings]`: a table that is the policy's own, as JSON.

use serde_json::{Map, Number, Value};
use toml::de::{DeTable, DeValue};

use super::section::{Raw, Section};
use super::values::kind;

/// Reads the table. Keys are not known beforehand: a variable that stands for no value of the file
/// becomes a setting of its own, in lower case.
pub(super) fn read(mut section: Section<'_>) -> Map<String, Value> {
    let mut settings = table(&mut section);
    for rest in section.unasked() {
        let key = rest.to_lowercase();
        if settings.contains_key(&key) {
            continue;
        }
        if let Some(value) = section.take(&key, value) {
            settings.insert(key, value);
        }
    }
    section.finish();
    settings
}

fn table(section: &mut Section<'_>) -> Map<String, Value> {
    let mut settings = Map::new();
    for key in section.keys() {
        if section.is_table(&key) {
            let inner = table(&mut section.section(&key));
            settings.insert(key, Value::Object(inner));
        } else if let Some(value) = section.take(&key, value) {
            settings.insert(key, value);
        }
    }
    settings
}

/// In the environment, a value is TOML (`0.2`, `true`, `["a"]`), or else a text as it stands.
fn value(raw: Raw<'_>) -> Result<Value, String> {
    match raw {
        Raw::Toml(value) => json(value),
        Raw::Text(text) => match DeValue::parse(text) {
            Ok(value) => json(value.get_ref()),
            Err(_) => Ok(Value::from(text)),
        },
    }
}

fn json(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(value) => Value::from(*value),
        DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
            .map(Value::from)
            .map_err(|_| format!("{digits} is more than 64 bits hold"))?,
        DeValue::Float(digits) => {
            let number = digits.as_str().parse().ok().and_then(Number::from_f64);
            number.map(Value::Number).ok_or_else(|| format!("{digits} is no number in JSON"))?
        }
        DeValue::Array(items) => {
            items.iter().map(|item| json(item.get_ref())).collect::<Result<_, _>>()?
        }
        DeValue::Table(entries) => Value::Object(object(entries)?),
        DeValue::Datetime(_) => {
            return Err(format!("{} has no form in JSON; write a string", kind(value)));
        }
    })
}

fn object(entries: &DeTable<'_>) -> Result<Map<String, Value>, String> {
    let entry = |key: &str, value| Ok((key.to_owned(), json(value)?));
    entries.iter().map(|(key, value)| entry(key.get_ref(), value.get_ref())).collect()
}
