//! The configuration in the gate's words.

use crate::cache::lifetimes;
use crate::config::template::{Piece, Touch, pieces, touch};
use crate::config::{Config, Entity, Param, QueryConfig, Write};
use crate::policy::gate::{self, EntityShape, QueryShape, Source, Template, Terms, WriteShape};
use crate::policy::guard::Lifetimes;

/// The terms under which a candidate is examined for this configuration, with nothing hot.
#[must_use]
pub fn terms(config: &Config) -> Terms {
    Terms {
        settings: config.policy_settings_json(),
        entities: config.entities.values().map(entity).collect(),
        query: config.query.enabled.then(|| query(&config.query)),
        hot: Vec::new(),
    }
}

fn entity(entity: &Entity) -> EntityShape {
    EntityShape {
        name: entity.name.clone(),
        params: names(&entity.params),
        tags: entity.tags.iter().map(|tag| template(tag)).collect(),
        lifetimes: lifetimes(entity),
        deadline: entity.deadline,
        writes: entity.writes.values().map(write).collect(),
    }
}

fn query(query: &QueryConfig) -> QueryShape {
    let lifetimes = Lifetimes {
        ttl: query.ttl,
        negative_ttl: query.ttl,
        stale_while_revalidate: std::time::Duration::ZERO,
        stale_if_error: std::time::Duration::ZERO,
    };
    QueryShape { lifetimes, deadline: query.deadline }
}

fn write(write: &Write) -> WriteShape {
    WriteShape {
        name: write.name.clone(),
        params: names(&write.params),
        // What does not parse was refused with the configuration.
        touches: write.touches.iter().filter_map(|text| touch(text).ok()).map(touched).collect(),
    }
}

fn touched(touch: Touch<'_>) -> gate::Touch {
    match touch {
        Touch::Tag(tag) => gate::Touch::Tag(template(tag)),
        Touch::Read { entity, arguments } => {
            let source = |name: &str| match name.strip_prefix("row.") {
                Some(column) => Source::Column(column.to_owned()),
                None => Source::Param(name.to_owned()),
            };
            let arguments = arguments.into_iter().map(source).collect();
            gate::Touch::Read { entity: entity.to_owned(), arguments }
        }
    }
}

fn template(tag: &str) -> Template {
    let piece = |piece: Piece<'_>| match piece {
        Piece::Text(text) => gate::Piece::Text(text.to_owned()),
        Piece::Param(name) => gate::Piece::Hole(Source::Param(name.to_owned())),
        Piece::Column(name) => gate::Piece::Hole(Source::Column(name.to_owned())),
    };
    Template(pieces(tag).unwrap_or_default().into_iter().map(piece).collect())
}

fn names(params: &[Param]) -> Vec<String> {
    params.iter().map(|param| param.name.clone()).collect()
}
