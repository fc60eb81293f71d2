//! Whether what a write touches is what it makes untrue, as far as the configuration itself says.
//!
//! | rule | what goes wrong |
//! |---|---|
//! | touches | a write that touches nothing leaves every read of what it changes as it was |
//! | carriers | a tag that no read carries removes nothing |
//! | types | a tag's value is spelled in two ways: `007` and `7` |
//! | absence | an empty list and a missing row have no tags of rows, and a new row is not seen |
//! | moves | a row that moved is still listed where it was |

use std::collections::BTreeSet;
use std::time::Duration;

use super::forms::{are_alike, columns, is_of_row, meet};
use super::statement::Statement;
use super::touched::ResolvedTouch;
use crate::config::template::sources;
use crate::config::{Allowed, Config, EntityConfig, Param, TagTemplate, WriteConfig, suggestion};
use crate::origin::{ParamType, Rows};
use crate::policy::{Piece, Source};

/// Something that was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TouchFinding {
    /// The path into the settings: `entity.user.profile.write.rename.touches[0]`.
    pub(super) path: String,
    /// What it is, and what to do.
    pub(super) message: String,
    /// Whether it may be intended: only the author of the write can tell.
    pub(super) is_note: bool,
}

/// Everything that is found of every write.
pub(super) fn found(config: &Config) -> Vec<TouchFinding> {
    let mut found = Vec::new();
    for entity in config.entities.values() {
        for write in entity.writes.values() {
            let touches = write.touches.iter().map(ResolvedTouch::of).collect();
            let statement = Statement::read(&write.statement.sql);
            Case { config, entity, write, touches, statement, found: &mut found }.look();
        }
    }
    found
}

/// One write under examination.
struct Case<'c, 'f> {
    config: &'c Config,
    entity: &'c EntityConfig,
    write: &'c WriteConfig,
    touches: Vec<ResolvedTouch<'c>>,
    statement: Statement,
    found: &'f mut Vec<TouchFinding>,
}

impl<'c> Case<'c, '_> {
    fn look(mut self) {
        if self.touches.is_empty() {
            if !self.write.touches_nothing {
                self.touches_nothing();
            }
            return;
        }
        for at in 0..self.touches.len() {
            if let Some(tag) = self.touches[at].tag() {
                self.carriers(at, tag);
                self.types(at, tag);
            }
            self.moves(at);
        }
        self.absence();
        self.untouched_tags();
        self.own_rows();
    }

    fn touches_nothing(&mut self) {
        let read = read_of(self.entity, self.write);
        self.problem(
            "touches",
            format!(
                "it touches nothing, so every read of what it changes stays as it was for its \
                 lifetime; write touches = [{read:?}], with each read and tag that it makes untrue, \
                 or touches = \"nothing\" if no read shows what it changes"
            ),
        );
    }

    fn carriers(&mut self, at: usize, tag: &[Piece]) {
        let tags = || self.config.entities.values().flat_map(|entity| &entity.tags);
        if tags().any(|carried| meet(carried.pieces(), tag)) || self.allows(Allowed::UnreadTags) {
            return;
        }
        let text = self.write.touches[at].text();
        let text = text.strip_prefix("tag ").unwrap_or(text).trim();
        let meant = match suggestion(text, tags().map(TagTemplate::text)) {
            Some(meant) => format!("did you mean \"tag {meant}\"?"),
            None => "give it to one in tags, or touch the read itself.".to_owned(),
        };
        let place = format!("touches[{at}]");
        if self.config.query.enabled {
            let why = "no read carries a tag of this form, so it removes ad-hoc queries alone";
            return self.note(&place, format!("{why}; {meant}"));
        }
        let other = "If reads of another service carry it, write allow = [\"unread-tags\"] here";
        self.problem(
            &place,
            format!("no read carries a tag of this form, so it removes nothing; {meant} {other}"),
        );
    }

    /// Checks that a parameter in a touched tag has the type of the one in the tag that a read
    /// carries.
    fn types(&mut self, at: usize, tag: &[Piece]) {
        for entity in self.config.entities.values() {
            for carried in entity.tags.iter().filter(|carried| are_alike(carried.pieces(), tag)) {
                let pairs = sources(tag).zip(carried.sources());
                for (own, theirs) in pairs {
                    let (Source::Argument(own), Source::Argument(theirs)) = (own, theirs) else {
                        continue;
                    };
                    let ty = |params: &[Param], name: &str| {
                        params.iter().find(|param| param.name == name).map(|param| param.ty)
                    };
                    let types = ty(&self.write.params, own).zip(ty(&entity.params, theirs));
                    let Some((mine, ty)) = types.filter(|(one, other)| !spell_alike(*one, *other))
                    else {
                        continue;
                    };
                    self.problem(
                        &format!("touches[{at}]"),
                        format!(
                            "{{{own}}} is {mine} here, and {ty} in {}, which carries this tag: one \
                             value may be spelled in two ways; declare it \"{own}:{ty}\"",
                            entity.name
                        ),
                    );
                }
            }
        }
    }

    /// Checks that a touch by a column's new value has another one by the old value beside it.
    fn moves(&mut self, at: usize) {
        if self.allows(Allowed::StaleMoves) {
            return;
        }
        let touched = &self.touches[at];
        let moved = touched.sources.iter().enumerate().find_map(|(place, source)| {
            let column = self.set_column(source)?;
            let is_old = |other: &ResolvedTouch<'_>| match other.sources.get(place) {
                Some(Source::OldColumn(_)) => true,
                Some(other @ Source::Argument(_)) => {
                    other != source && self.set_column(other).is_none()
                }
                Some(Source::Column(_)) | None => false,
            };
            let covered = self.touches.iter().any(|other| other.is_like(touched) && is_old(other));
            (!covered).then_some((place, column))
        });
        let Some((place, column)) = moved else { return };
        let also = touched.with_old(place, column);
        let how = if self.is_sqlite() {
            format!(
                "take the old value as a parameter, let the statement compare it (AND {column} = …), \
                 and touch it too"
            )
        } else {
            format!(
                "touch {also:?} too, and let the statement return the old value: UPDATE … FROM \
                 (SELECT … FOR UPDATE) AS o … RETURNING o.{column} AS \"old.{column}\", or from \
                 Postgres 18 RETURNING old.{column} AS \"old.{column}\""
            )
        };
        let meant = "if that is meant, write allow = [\"stale-moves\"] here";
        let message = format!(
            "the statement sets {column}, and this names the new value alone: what is cached under \
             the old one stays; {how}; {meant}"
        );
        self.problem(&format!("touches[{at}]"), message);
    }

    /// The column whose new value the source is; `None` if the source is something else, or an old
    /// value.
    fn set_column(&self, source: &Source) -> Option<&str> {
        match source {
            Source::OldColumn(_) => None,
            Source::Column(name) => {
                self.statement.sets.iter().map(|set| set.column.as_str()).find(|set| *set == name)
            }
            Source::Argument(name) => {
                let index = self.write.params.iter().position(|param| param.name == *name)?;
                self.statement.set_to(index)
            }
        }
    }

    /// Checks that reads that found nothing are touched too: they carry no tags of rows.
    fn absence(&mut self) {
        if self.allows(Allowed::StaleAbsence) {
            return;
        }
        let mut told = BTreeSet::new();
        for at in 0..self.touches.len() {
            let Some(tag) = self.touches[at].tag() else { continue };
            for entity in self.config.entities.values() {
                let by_row = entity.tags.iter().filter(|carried| meet(carried.pieces(), tag));
                if !by_row
                    .map(|carried| columns(carried.pieces()))
                    .any(|row| self.comes_in(entity, &row))
                {
                    continue;
                }
                let Some(stays) = stays(entity).filter(|_| !self.reaches_absence(entity)) else {
                    continue;
                };
                if told.insert(entity.name.as_str()) {
                    self.problem(&format!("touches[{at}]"), absent(entity, self.write, &stays));
                }
            }
        }
    }

    /// Whether the write can bring a row into a read that found nothing and that carries tags of these
    /// columns: a new one, or one that is found by another value than before.
    fn comes_in(&self, entity: &EntityConfig, columns: &[&str]) -> bool {
        let is_set = |column: &str| self.statement.is_set(column);
        let is_moved = match entity.rows {
            Rows::Many => columns.iter().any(|column| is_set(column)),
            Rows::One => entity.params.iter().any(|param| is_set(&param.name)),
        };
        !columns.is_empty() && (self.statement.makes_rows || is_moved)
    }

    /// Whether a read that found nothing is touched: by its name, or by a tag that it has without a
    /// row.
    fn reaches_absence(&self, entity: &EntityConfig) -> bool {
        let own = || entity.tags.iter().map(TagTemplate::pieces).filter(|tag| !is_of_row(tag));
        self.touches.iter().any(|touched| {
            touched.is_read_of(&entity.name)
                || touched.tag().is_some_and(|tag| own().any(|own| meet(own, tag)))
        })
    }

    /// Notes a column that is set and that a tag is made of, if no such tag is touched. Whether
    /// that is wrong depends on what the reads show that carry the tag by a parameter.
    fn untouched_tags(&mut self) {
        let touched = |tag: &TagTemplate| {
            self.touches.iter().filter_map(ResolvedTouch::tag).any(|own| meet(own, tag.pieces()))
        };
        let concerned = self.config.entities.values().filter(|entity| {
            entity.name == self.entity.name
                || self.touches.iter().any(|touched| touched.is_read_of(&entity.name))
        });
        let mut notes = Vec::new();
        for entity in concerned {
            for tag in entity.tags.iter().filter(|tag| !touched(tag)) {
                let set =
                    columns(tag.pieces()).into_iter().find(|column| self.statement.is_set(column));
                let by_parameter = self.config.entities.values().find(|other| {
                    let tags = other.tags.iter().map(TagTemplate::pieces);
                    tags.into_iter().any(|other| !is_of_row(other) && meet(other, tag.pieces()))
                });
                let (Some(column), Some(other)) = (set, by_parameter) else { continue };
                let tag = tag.text();
                let old = tag.replace(&format!("{{row.{column}}}"), &format!("{{old.{column}}}"));
                notes.push(format!(
                    "it sets {column}, of which the tag {tag:?} of {} is made, and touches no such \
                     tag; if {} shows rows by their {column}, touch \"tag {tag}\" and \"tag {old}\"",
                    entity.name, other.name
                ));
            }
        }
        notes.into_iter().for_each(|note| self.note("touches", note));
    }

    /// Notes a write that makes rows and touches nothing of its own entity.
    fn own_rows(&mut self) {
        let entity = self.entity;
        let touched = self.touches.iter().any(|touched| {
            touched.is_read_of(&entity.name)
                || touched
                    .tag()
                    .is_some_and(|tag| entity.tags.iter().any(|own| meet(own.pieces(), tag)))
        });
        let told = self.allows(Allowed::StaleAbsence) || entity.read.is_none();
        if !self.statement.makes_rows || touched || told {
            return;
        }
        let Some(Stays { what, time, .. }) = stays(entity) else { return };
        let (name, read) = (&entity.name, read_of(entity, self.write));
        self.note(
            "touches",
            format!(
                "it makes rows, and touches nothing of {name}: if they are rows of {name}, {what} \
                 for {time}; touch {read:?} then, or write allow = [\"stale-absence\"] here"
            ),
        );
    }

    fn allows(&self, allowed: Allowed) -> bool {
        self.write.allowed.contains(&allowed)
    }

    fn is_sqlite(&self) -> bool {
        self.config.origin.url.as_ref().is_some_and(|url| url.0.starts_with("sqlite:"))
    }

    fn problem(&mut self, key: &str, message: String) {
        self.add(key, message, false);
    }

    fn note(&mut self, key: &str, message: String) {
        self.add(key, message, true);
    }

    fn add(&mut self, key: &str, message: String, is_note: bool) {
        let path = format!("entity.{}.write.{}.{key}", self.entity.name, self.write.name);
        self.found.push(TouchFinding { path, message, is_note });
    }
}

/// How a read that found nothing goes on to find nothing.
struct Stays {
    why: &'static str,
    what: &'static str,
    time: humantime::FormattedDuration,
}

/// `None` if the entity does not keep what was not found.
fn stays(entity: &EntityConfig) -> Option<Stays> {
    let stays =
        |why, what, time: Duration| Stays { why, what, time: humantime::format_duration(time) };
    match entity.rows {
        Rows::Many => Some(stays(
            "rows alone, and an empty list has none",
            "a list that was empty stays empty",
            entity.ttl,
        )),
        Rows::One if entity.negative_ttl.is_zero() => None,
        Rows::One => Some(stays(
            "row alone, and a row that is not there has none",
            "one that was asked for before it was there stays missing",
            entity.negative_ttl,
        )),
    }
}

fn absent(entity: &EntityConfig, write: &WriteConfig, stays: &Stays) -> String {
    let (name, read) = (&entity.name, read_of(entity, write));
    let tag = match entity.params.first() {
        Some(param) => format!("{name}:{{{}}}", param.name),
        None => name.clone(),
    };
    let shorter = match entity.rows {
        Rows::One => ", or set its negative_ttl = 0",
        Rows::Many => "",
    };
    let Stays { why, what, time } = stays;
    format!(
        "{name} carries this tag by its {why}: {what} for {time}; touch {read:?} too, or give {name} \
         a tag of its parameters, such as {tag:?}, and touch that{shorter}; if it is meant, write \
         allow = [\"stale-absence\"] here"
    )
}

/// An entity's read as a write can name it: by the write's own parameters, and else by columns.
pub(super) fn read_of(entity: &EntityConfig, write: &WriteConfig) -> String {
    let argument = |param: &Param| match write.params.iter().any(|own| own == param) {
        true => param.name.clone(),
        false => format!("row.{}", param.name),
    };
    let arguments: Vec<String> = entity.params.iter().map(argument).collect();
    format!("{}({})", entity.name, arguments.join(", "))
}

/// Whether two types spell every value that both have in one way.
fn spell_alike(one: ParamType, other: ParamType) -> bool {
    let is_exact =
        |ty| matches!(ty, ParamType::Int2 | ParamType::Int4 | ParamType::Int8 | ParamType::Numeric);
    one == other || (is_exact(one) && is_exact(other))
}

#[cfg(test)]
#[path = "touches/tests.rs"]
mod tests;
