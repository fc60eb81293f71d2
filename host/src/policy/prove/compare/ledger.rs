//! Where two policies differ: counted, with the smallest examples.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// The part of a decision that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// Whether there is an answer at all: only one side refuses or traps.
    Answer,
    /// The key of a read.
    Key,
    /// The tags that the request alone determines.
    Tags,
    /// The tags that depend on the row, and the columns that they need.
    RowTags,
    /// What a flight does next, after the same events.
    Action,
    /// How long a filled value lives, drawn with the same random bits.
    Lifetime,
    /// What a write makes untrue.
    Targets,
}

/// One aspect of one entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The entity.
    pub entity: String,
    /// What was compared.
    pub aspect: Aspect,
    /// Decisions that were compared.
    pub compared: u64,
    /// Those of them that differ.
    pub differing: u64,
    /// The smallest of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
}

/// One decision on which the two disagree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Example {
    /// The question: a read, a sequence of events, a write.
    pub at: String,
    /// The answer of the policy in force, or of the one that is named first.
    pub old: String,
    /// The other policy's answer.
    pub new: String,
}

/// All findings, bounded by entities times aspects times examples.
#[derive(Debug, Clone)]
pub(crate) struct Differences {
    findings: BTreeMap<(String, Aspect), Difference>,
    /// Examples that are kept of each finding.
    examples: usize,
}

impl Differences {
    pub(crate) fn new(examples: usize) -> Self {
        Self { findings: BTreeMap::new(), examples }
    }

    /// Notes that one decision was compared, and where it differs.
    pub(crate) fn compared(&mut self, entity: &str, aspect: Aspect, difference: Option<Example>) {
        let finding =
            self.findings.entry((entity.to_owned(), aspect)).or_insert_with(|| Difference {
                entity: entity.to_owned(),
                aspect,
                compared: 0,
                differing: 0,
                examples: Vec::new(),
            });
        finding.compared += 1;
        let Some(example) = difference else { return };
        finding.differing += 1;
        let at = finding.examples.partition_point(|kept| kept.size() <= example.size());
        if at < self.examples && !finding.examples.contains(&example) {
            finding.examples.insert(at, example);
            finding.examples.truncate(self.examples);
        }
    }

    /// Everything that was compared, by entity and aspect.
    pub(crate) fn findings(&self) -> impl Iterator<Item = &Difference> {
        self.findings.values()
    }
}

impl Example {
    pub(crate) fn new(at: String, old: impl Into<String>, new: impl Into<String>) -> Self {
        Self { at, old: old.into(), new: new.into() }
    }

    fn size(&self) -> usize {
        self.at.len() + self.old.len() + self.new.len()
    }
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answer => "answer",
            Self::Key => "key",
            Self::Tags => "tags",
            Self::RowTags => "row tags",
            Self::Action => "action",
            Self::Lifetime => "lifetime",
            Self::Targets => "targets",
        })
    }
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} became {}", self.at, self.old, self.new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_examples_are_kept_and_everything_is_counted() {
        let mut ledger = Differences::new(2);
        for at in ["ccc", "a", "bb", "a"] {
            let example = Example::new(at.to_owned(), "1", "2");
            ledger.compared("e", Aspect::Key, Some(example));
        }
        ledger.compared("e", Aspect::Key, None);
        let finding = ledger.findings().next().unwrap();
        assert_eq!((finding.compared, finding.differing), (5, 4));
        let kept: Vec<&str> = finding.examples.iter().map(|example| example.at.as_str()).collect();
        assert_eq!(kept, ["a", "bb"]);
    }
}
