//! JSON in which no object has a name twice: nothing says which of the two values counts.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Reads any JSON, keeps nothing of it, and fails at the first name that an object has twice.
pub(super) struct Unique;

/// So much of a name is shown.
const SHOWN: usize = 64;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldNames)
    }
}

struct FieldNames;

impl<'de> Visitor<'de> for FieldNames {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            map.next_value::<Unique>()?;
            if names.contains(&name) {
                let name: String = name.chars().take(SHOWN).collect();
                return Err(A::Error::custom(format_args!("`{name}` is given twice")));
            }
            names.insert(name);
        }
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
        while items.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(), String> {
        serde_json::from_str(text).map(|Unique| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_twice_in_one_object_is_found_at_any_depth() {
        for text in [
            r#"{"id": 1, "id": 2}"#,
            r#"{"id": 1, "i\u0064": 2}"#,
            r#"{"a": [{"id": 1, "b": null, "id": 1}]}"#,
        ] {
            assert!(read(text).unwrap_err().starts_with("`id` is given twice at line 1"), "{text}");
        }
    }

    #[test]
    fn anything_else_passes() {
        for text in ["1.5", "-1", "null", "[]", r#"{"a": {"id": true}, "b": {"id": "x"}}"#, "[1e9]"]
        {
            assert_eq!(read(text), Ok(()), "{text}");
        }
        assert!(read("{").is_err());
    }
}
