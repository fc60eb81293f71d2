//! The configuration in the gate's words.

use crate::cache::lifetimes;
use crate::config::template::{self, Piece, Touch, pieces, touch};
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
        tags: entity.tags.iter().map(|tag| tag_template(tag)).collect(),
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
        Touch::Tag(tag) => gate::Touch::Tag(tag_template(tag)),
        Touch::Read { entity, arguments } => {
            let arguments = arguments.into_iter().map(source).collect();
            gate::Touch::Read { entity: entity.to_owned(), arguments }
        }
    }
}

fn tag_template(tag: &str) -> Template {
    let piece = |piece: Piece<'_>| match piece {
        Piece::Text(text) => gate::Piece::Text(text.to_owned()),
        Piece::Hole(from) => gate::Piece::Hole(source(from)),
    };
    Template(pieces(tag).unwrap_or_default().into_iter().map(piece).collect())
}

fn source(source: template::Source<'_>) -> Source {
    match source {
        template::Source::Param(name) => Source::Param(name.to_owned()),
        template::Source::Column(name) => Source::Column(name.to_owned()),
        template::Source::Old(name) => Source::Old(template::old_column(name).to_owned()),
    }
}

fn names(params: &[Param]) -> Vec<String> {
    params.iter().map(|param| param.name.clone()).collect()
}
