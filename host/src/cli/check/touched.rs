//! What a write touches, as its rules look at it.

use super::forms::are_alike;
use crate::config::template::{self, Piece, Source, Touch};

/// A touch of a write.
pub(super) struct Touched<'c> {
    touch: Touch<'c>,
    /// Where its values come from.
    pub(super) sources: Vec<Source<'c>>,
}

impl<'c> Touched<'c> {
    /// `None` if the text can't be read: the configuration is refused for it already.
    pub(super) fn of(text: &'c str) -> Option<Self> {
        let touch = template::touch(text).ok()?;
        let sources = touch.sources();
        Some(Self { touch, sources })
    }

    /// The template, for a tag.
    pub(super) fn tag(&self) -> Option<&'c str> {
        match self.touch {
            Touch::Tag(tag) => Some(tag),
            Touch::Read { .. } => None,
        }
    }

    /// Whether it is a read of this entity.
    pub(super) fn is_read_of(&self, name: &str) -> bool {
        match self.touch {
            Touch::Tag(_) => false,
            Touch::Read { entity, .. } => entity == name,
        }
    }

    /// Whether it touches the same, but for where the values come from.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (&self.touch, &other.touch) {
            (Touch::Tag(one), Touch::Tag(other)) => are_alike(one, other),
            (Touch::Read { entity: one, .. }, Touch::Read { entity: other, .. }) => one == other,
            (Touch::Tag(_), Touch::Read { .. }) | (Touch::Read { .. }, Touch::Tag(_)) => false,
        }
    }

    /// The same with the old value of a column in one place.
    pub(super) fn with_old(&self, place: usize, column: &str) -> String {
        let source = |(at, source): (usize, &Source<'_>)| match (at == place, source) {
            (true, _) => format!("old.{column}"),
            (false, Source::Column(name)) => format!("row.{name}"),
            (false, Source::Param(name) | Source::Old(name)) => (*name).to_owned(),
        };
        let mut sources = self.sources.iter().enumerate().map(source);
        match &self.touch {
            Touch::Read { entity, .. } => {
                format!("{entity}({})", sources.collect::<Vec<_>>().join(", "))
            }
            Touch::Tag(tag) => {
                let pieces = template::pieces(tag).unwrap_or_default();
                let piece = |piece| match piece {
                    Piece::Text(text) => text.to_owned(),
                    Piece::Hole(_) => format!("{{{}}}", sources.next().unwrap_or_default()),
                };
                format!("tag {}", pieces.into_iter().map(piece).collect::<String>())
            }
        }
    }
}
