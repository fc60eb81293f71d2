//! How everything is called in the server.
//!
//! A [`Name`] is a key of the server as it is. Everything else has a word of its own behind the prefix;
//! braces put a value and its lease on one slot of a cluster, and a tag's index and mark.

use crate::store::{Name, Prefix, Tag};

/// The only range of a single node.
const RANGE: &str = "{0}";

/// The names of one deployment.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) prefix: Prefix,
}

impl Names {
    fn of(&self, word: &str, braced: &str) -> String {
        format!("{}{word}:{{{braced}}}", self.prefix.as_str())
    }

    pub(super) fn lease(&self, name: &str) -> String {
        self.of("lease", name)
    }

    /// The body of a large value.
    pub(super) fn body(&self, name: &str) -> String {
        self.of("body", name)
    }

    /// Somebody waits for the lease of this name to end and wants to be told.
    pub(super) fn waiters(&self, name: &str) -> String {
        self.of("waiters", name)
    }

    pub(super) fn index(&self, tag: &Tag) -> String {
        self.of("tags", tag.as_str())
    }

    pub(super) fn mark(&self, tag: &Tag) -> String {
        self.of("mark", tag.as_str())
    }

    pub(super) fn intents(&self) -> String {
        format!("{}intents:{RANGE}", self.prefix.as_str())
    }

    pub(super) fn range(&self) -> String {
        format!("{}range:{RANGE}", self.prefix.as_str())
    }

    /// Never there: a command that would write it tells whether the node takes writes.
    pub(super) fn role(&self) -> String {
        format!("{}role", self.prefix.as_str())
    }

    pub(super) fn hosts(&self) -> String {
        format!("{}hosts", self.prefix.as_str())
    }

    pub(super) fn note(&self, of: &str) -> String {
        format!("{}{of}", self.prefix.as_str())
    }

    /// Where the scripts publish the names whose lease ended.
    pub(super) fn settled_channel(&self) -> String {
        format!("{}settled", self.prefix.as_str())
    }

    /// The name that a message of the channel holds.
    pub(super) fn read(&self, text: &str) -> Option<Name> {
        Name::read(&self.prefix, text)
    }
}
