//! What a write is going to make untrue, announced to every host before it commits.

use serde::{Deserialize, Serialize};

use super::{InvalidName, Key, Tag};

/// What an invalidation names in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doomed {
    /// One key.
    Key(Key),
    /// Every key of a tag.
    Tag(Tag),
}

/// An announced invalidation. It stands in the store from before the commit until the invalidation
/// is done; when its host is lost in between, another one carries it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    id: u128,
    doomed: Vec<Doomed>,
}

/// A stored intent that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableIntent {
    /// Not the JSON of an intent.
    #[error("it is no intent: {0}")]
    Json(String),
    /// It names what can't be in the store.
    #[error("it has a name that is not legal: {0}")]
    Name(#[from] InvalidName),
}

/// As it stands in the store: readable for whoever looks there, and the same text every time.
#[derive(Serialize, Deserialize)]
struct Text {
    id: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}

impl Intent {
    /// An intent with these random bits for an identity.
    #[must_use]
    pub fn new(id: u128, doomed: Vec<Doomed>) -> Self {
        Self { id, doomed }
    }

    /// What it dooms.
    #[must_use]
    pub fn doomed(&self) -> &[Doomed] {
        &self.doomed
    }

    /// Which of so many shards it belongs to.
    #[must_use]
    pub fn shard(&self, shards: usize) -> usize {
        usize::try_from(self.id % shards.max(1) as u128).unwrap_or(0)
    }

    /// Its text in the store.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = Text { id: format!("{:032x}", self.id), keys: vec![], tags: vec![] };
        for doomed in &self.doomed {
            match doomed {
                Doomed::Key(key) => text.keys.push(key.to_string()),
                Doomed::Tag(tag) => text.tags.push(tag.to_string()),
            }
        }
        // Strings in lists: there is nothing in it that JSON can't say.
        serde_json::to_string(&text).unwrap_or_default()
    }

    /// Reads its text.
    ///
    /// # Errors
    /// [`UnreadableIntent`] says what is wrong with it.
    pub fn decode(text: &str) -> Result<Self, UnreadableIntent> {
        let malformed = |error: &dyn std::fmt::Display| UnreadableIntent::Json(error.to_string());
        let text: Text = serde_json::from_str(text).map_err(|error| malformed(&error))?;
        let id = u128::from_str_radix(&text.id, 16).map_err(|error| malformed(&error))?;
        let keys = text.keys.iter().map(|key| Key::try_new(key).map(Doomed::Key));
        let tags = text.tags.iter().map(|tag| Tag::try_new(tag).map(Doomed::Tag));
        Ok(Self { id, doomed: keys.chain(tags).collect::<Result<_, _>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent() -> Intent {
        let key = Doomed::Key(Key::try_new("v1:user:\"7\"").unwrap());
        Intent::new(0x2a, vec![key, Doomed::Tag(Tag::try_new("user:7").unwrap())])
    }

    #[test]
    fn it_is_readable_text_and_comes_back() {
        let text = intent().encode();
        let id = "0000000000000000000000000000002a";
        assert_eq!(text, format!(r#"{{"id":"{id}","keys":["v1:user:\"7\""],"tags":["user:7"]}}"#));
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
