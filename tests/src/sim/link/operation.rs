//! An operation on its way: its name in a trace, and what it asks of a node.

use std::fmt;

use corral_host::store::{Name, StoreTag};

/// An operation on its way: its name, and its subject.
#[derive(Clone)]
pub(super) struct Operation {
    verb: &'static str,
    of: Subject,
    kind: Kind,
}

/// What a node does for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It changes nothing, so a replica answers it, too.
    Reads,
    /// It needs no memory, so a full node does it.
    Removes,
    /// It adds something.
    Adds,
}

#[derive(Clone)]
enum Subject {
    Name(Name),
    Tag(StoreTag),
    Store,
}

impl Operation {
    pub(super) fn on_name(kind: Kind, verb: &'static str, name: &Name) -> Self {
        Self { verb, of: Subject::Name(name.clone()), kind }
    }

    pub(super) fn on_tag(kind: Kind, verb: &'static str, tag: &StoreTag) -> Self {
        Self { verb, of: Subject::Tag(tag.clone()), kind }
    }

    pub(super) fn on_store(kind: Kind, verb: &'static str) -> Self {
        Self { verb, of: Subject::Store, kind }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.of {
            Subject::Name(name) => write!(f, "{} {name}", self.verb),
            Subject::Tag(tag) => write!(f, "{} the tag {tag}", self.verb),
            Subject::Store => f.write_str(self.verb),
        }
    }
}
