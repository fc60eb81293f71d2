//! The name of an operation on its way, for whoever reads a trace.

use std::fmt;

use corral_host::store::{Key, Tag};

/// An operation on its way: its name, and of what.
#[derive(Clone)]
pub(super) struct Operation {
    verb: &'static str,
    of: Subject,
}

#[derive(Clone)]
enum Subject {
    Key(Key),
    Tag(Tag),
    Store,
}

impl Operation {
    pub(super) fn on_key(verb: &'static str, key: &Key) -> Self {
        Self { verb, of: Subject::Key(key.clone()) }
    }

    /// Named by the first of them.
    pub(super) fn on_keys(verb: &'static str, keys: &[Key]) -> Self {
        keys.first().map_or_else(|| Self::on_store(verb), |key| Self::on_key(verb, key))
    }

    pub(super) fn on_tag(verb: &'static str, tag: &Tag) -> Self {
        Self { verb, of: Subject::Tag(tag.clone()) }
    }

    pub(super) fn on_store(verb: &'static str) -> Self {
        Self { verb, of: Subject::Store }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.of {
            Subject::Key(key) => write!(f, "{} {key}", self.verb),
            Subject::Tag(tag) => write!(f, "{} the tag {tag}", self.verb),
            Subject::Store => f.write_str(self.verb),
        }
    }
}
