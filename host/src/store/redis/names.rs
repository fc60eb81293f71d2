//! The names of everything in the server.
//!
//! A [`Name`] is used as a key of the server as it is. Everything else has a word of its own behind
//! the prefix. Braces put a value and its lease on one slot of a cluster, and likewise a tag's
//! index and mark.

use crate::store::{Layout, Name, Prefix, RangeId, StoreTag};

/// The names of one deployment.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) prefix: Prefix,
    pub(super) layout: Layout,
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

    /// Exists while a host waits for the lease of this name to end and wants to be told.
    pub(super) fn waiters(&self, name: &str) -> String {
        self.of("waiters", name)
    }

    pub(super) fn index(&self, tag: &StoreTag) -> String {
        self.of("tags", tag.as_str())
    }

    pub(super) fn mark(&self, tag: &StoreTag) -> String {
        self.of("mark", tag.as_str())
    }

    pub(super) fn intents(&self, range: RangeId) -> String {
        self.of("intents", self.layout.anchor(range))
    }

    pub(super) fn range(&self, range: RangeId) -> String {
        self.of("range", self.layout.anchor(range))
    }

    /// A name that never exists, in the slot of `name`: a command that would write it tells whether the node
    /// takes writes.
    pub(super) fn role(&self, name: &str) -> String {
        self.of("role", name)
    }

    pub(super) fn hosts(&self) -> String {
        format!("{}hosts", self.prefix.as_str())
    }

    pub(super) fn note(&self, of: &str) -> String {
        format!("{}{of}", self.prefix.as_str())
    }

    /// The channel on which the scripts publish a name when its lease has ended.
    pub(super) fn settled_channel(&self) -> String {
        format!("{}settled", self.prefix.as_str())
    }

    /// The name that a message of the channel holds.
    pub(super) fn read(&self, text: &str) -> Option<Name> {
        Name::read(&self.prefix, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Digest, StoreKey};

    #[test]
    fn everything_is_under_the_prefix_and_braces_hold_the_whole_name() {
        let prefix = Prefix::try_new("shop:").unwrap();
        let names = Names { prefix, layout: Layout::Single };
        let digest = Digest::of(["user"]);
        let name = Name::new(&names.prefix, &digest, &StoreKey::try_new("v1:user:7").unwrap());
        let text = format!("shop:1:{digest}:v1:user:7");
        assert_eq!(name.as_str(), text);
        assert_eq!(names.lease(&text), format!("shop:1:lease:{{{text}}}"));
        assert_eq!(names.waiters(&text), format!("shop:1:waiters:{{{text}}}"));
        let tag = StoreTag::try_new("user:7").unwrap();
        assert_eq!(names.index(&tag), "shop:1:tags:{user:7}");
        assert_eq!(names.mark(&tag), "shop:1:mark:{user:7}");
        assert_eq!(
            (&*names.range(RangeId::FIRST), &*names.intents(RangeId::FIRST)),
            ("shop:1:range:{0}", "shop:1:intents:{0}")
        );
        assert_eq!(
            (&*names.hosts(), &*names.settled_channel()),
            ("shop:1:hosts", "shop:1:settled")
        );
        assert_eq!(names.read(&text), Some(name));
        // A name of another deployment on the same server.
        assert_eq!(names.read(&text.replace("shop:", "corral:")), None);
    }
}
