//! What a write touches, as the rules of `touches` and `relations` need it.

use super::forms::are_alike;
use crate::config::TouchText;
use crate::config::template::spelled;
use crate::policy::{Piece, Source, Touch};

/// A touch of a write.
pub(super) struct ResolvedTouch<'c> {
    touch: &'c Touch,
    /// Where its values come from.
    pub(super) sources: Vec<&'c Source>,
}

impl<'c> ResolvedTouch<'c> {
    pub(super) fn of(text: &'c TouchText) -> Self {
        Self { touch: text.touch(), sources: text.sources() }
    }

    /// The tag's pieces, if it is a tag.
    pub(super) fn tag(&self) -> Option<&'c [Piece]> {
        match self.touch {
            Touch::Tag(tag) => Some(tag),
            Touch::Read(_) => None,
        }
    }

    /// Whether it is a read of this entity.
    pub(super) fn is_read_of(&self, name: &str) -> bool {
        match self.touch {
            Touch::Tag(_) => false,
            Touch::Read(read) => read.entity == name,
        }
    }

    /// Whether it touches the same, whatever the sources of the values.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (self.touch, other.touch) {
            (Touch::Tag(one), Touch::Tag(other)) => are_alike(one, other),
            (Touch::Read(one), Touch::Read(other)) => one.entity == other.entity,
            (Touch::Tag(_), Touch::Read(_)) | (Touch::Read(_), Touch::Tag(_)) => false,
        }
    }

    /// The touch as a configuration spells it, with the old value of a column in one place.
    pub(super) fn with_old(&self, place: usize, column: &str) -> String {
        let source = |(at, source): (usize, &&Source)| {
            if at == place { format!("old.{column}") } else { spelled(source) }
        };
        let mut sources = self.sources.iter().enumerate().map(source);
        match self.touch {
            Touch::Read(read) => {
                format!("{}({})", read.entity, sources.collect::<Vec<_>>().join(", "))
            }
            Touch::Tag(tag) => {
                let piece = |piece: &Piece| match piece {
                    Piece::Text(text) => text.clone(),
                    Piece::Value(_) => format!("{{{}}}", sources.next().unwrap_or_default()),
                };
                format!("tag {}", tag.iter().map(piece).collect::<String>())
            }
        }
    }
}
