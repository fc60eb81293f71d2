//! Intents: what a write is going to make untrue, announced to every host before it commits.

use serde::{Deserialize, Serialize};

use super::{InvalidName, StoreKey, StoreTag};

/// Something that an invalidation makes untrue. Its names are made when the invalidation is carried
/// out, under every naming that is in use then.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IntentTarget {
    /// A read: the entity and its arguments, each with its name and canonical text; `None` is null.
    Read {
        /// The entity.
        entity: String,
        /// The arguments.
        arguments: Vec<(String, Option<String>)>,
    },
    /// A key that was given without its entity; removed under every definition.
    Key(StoreKey),
    /// Everything that carries a tag.
    Tag(StoreTag),
}

/// An announced invalidation. It stands in the store from before the commit until the invalidation
/// is done; if its host is lost in between, another one carries it out (race L).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    id: u128,
    targets: Vec<IntentTarget>,
    transaction: Option<u64>,
}

/// A stored intent that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableIntent {
    /// The text is not the JSON of an intent.
    #[error("it is no intent: {0}")]
    Json(String),
    /// The intent has a key or a tag that is not legal.
    #[error("it has a name that is not legal: {0}")]
    Name(#[from] InvalidName),
}

/// An intent's text in the store: readable for an operator, and always the same for the same
/// intent.
#[derive(Serialize, Deserialize)]
struct IntentText {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transaction: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reads: Vec<ReadText>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct ReadText {
    entity: String,
    arguments: Vec<(String, Option<String>)>,
}

impl Intent {
    /// An intent with these random bits as its identity. `transaction` is the database's id of the
    /// transaction that makes the targets untrue, if there is one.
    #[must_use]
    pub fn new(id: u128, targets: Vec<IntentTarget>, transaction: Option<u64>) -> Self {
        Self { id, targets, transaction }
    }

    /// What the intent makes untrue.
    #[must_use]
    pub fn targets(&self) -> &[IntentTarget] {
        &self.targets
    }

    /// The transaction that makes the targets untrue: the invalidation counts only once the
    /// transaction has ended.
    #[must_use]
    pub fn transaction(&self) -> Option<u64> {
        self.transaction
    }

    /// The intent's text in the store.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = IntentText {
            id: format!("{:032x}", self.id),
            transaction: self.transaction,
            reads: vec![],
            keys: vec![],
            tags: vec![],
        };
        for target in self.targets.iter().cloned() {
            match target {
                IntentTarget::Read { entity, arguments } => {
                    text.reads.push(ReadText { entity, arguments });
                }
                IntentTarget::Key(key) => text.keys.push(key.to_string()),
                IntentTarget::Tag(tag) => text.tags.push(tag.to_string()),
            }
        }
        // Can't fail: strings in lists have JSON.
        serde_json::to_string(&text).unwrap_or_default()
    }

    /// Reads an intent's text.
    ///
    /// # Errors
    /// [`UnreadableIntent`] says what is wrong with the text.
    pub fn decode(text: &str) -> Result<Self, UnreadableIntent> {
        let malformed = |error: &dyn std::fmt::Display| UnreadableIntent::Json(error.to_string());
        let text: IntentText = serde_json::from_str(text).map_err(|error| malformed(&error))?;
        let id = u128::from_str_radix(&text.id, 16).map_err(|error| malformed(&error))?;
        let read = |ReadText { entity, arguments }| Ok(IntentTarget::Read { entity, arguments });
        let key = |key: &String| StoreKey::try_new(key).map(IntentTarget::Key);
        let tag = |tag: &String| StoreTag::try_new(tag).map(IntentTarget::Tag);
        let targets = text.reads.into_iter().map(read);
        let targets = targets.chain(text.keys.iter().map(key)).chain(text.tags.iter().map(tag));
        let targets = targets.collect::<Result<_, InvalidName>>()?;
        Ok(Self { id, targets, transaction: text.transaction })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent() -> Intent {
        let arguments = vec![("id".to_owned(), Some("7".to_owned())), ("at".to_owned(), None)];
        let targets = vec![
            IntentTarget::Read { entity: "user".into(), arguments },
            IntentTarget::Key(StoreKey::try_new("v1:user:\"7\"").unwrap()),
            IntentTarget::Tag(StoreTag::try_new("user:7").unwrap()),
        ];
        Intent::new(0x2a, targets, Some(725))
    }

    #[test]
    fn it_is_readable_text_and_comes_back() {
        let text = intent().encode();
        let id = "0000000000000000000000000000002a";
        let reads = r#"[{"entity":"user","arguments":[["id","7"],["at",null]]}]"#;
        let rest = r#""keys":["v1:user:\"7\""],"tags":["user:7"]"#;
        assert_eq!(text, format!(r#"{{"id":"{id}","transaction":725,"reads":{reads},{rest}}}"#));
        assert_eq!(Intent::decode(&text), Ok(intent()));
    }

    #[test]
    fn what_is_no_intent_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "it is no intent"),
            (r#"{"id":"x"}"#, "it is no intent"),
            (
                r#"{"id":"1","keys":["a b"]}"#,
                "it has a name that is not legal: it has ' ' at byte 1",
            ),
        ] {
            let error = Intent::decode(text).unwrap_err().to_string();
            assert!(error.starts_with(reason), "{error}");
        }
    }
}
