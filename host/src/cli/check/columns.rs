//! Whether the texts that names are built from are the same on both sides.
//!
//! A tag of a read and the same tag of a write's touch meet when equal values have equal texts. That
//! holds for columns and parameters of one family of types, and for no others: the number 10 is `10`
//! as `int8` and as `numeric`, a `date` and a `timestamp` of one day have two texts.

use std::collections::BTreeMap;

use crate::config::template::{returned, sources, spelled};
use crate::config::{Config, EntityConfig, Param, TagTemplate, TouchText, WriteConfig};
use crate::origin::{ColumnType, OutputColumn, ParamType};
use crate::policy::{Piece, Source, Touch};

use super::forms::are_alike;

/// A problem: the path in the settings, and a sentence.
pub(super) type SettingProblem = (String, String);

/// What the database says of the statements of a configuration.
pub(super) struct Descriptions<'c> {
    config: &'c Config,
    /// SQLite compares as text whatever is neither a number nor bytes.
    texts_are_one: bool,
    reads: BTreeMap<&'c str, Vec<OutputColumn>>,
    writes: BTreeMap<(&'c str, &'c str), Vec<OutputColumn>>,
}

/// What stands in a hole of a template.
struct Hole<'t> {
    /// As the template has it: `id`, `row.team_id`.
    name: String,
    /// `None` if the type is not known; the hole then fits everything.
    ty: Option<&'t ColumnType>,
    /// The parameter's type, if the hole is a parameter.
    param: Option<ParamType>,
}

impl<'c> Descriptions<'c> {
    /// No answers yet. `kind` is the origin's.
    pub(super) fn new(config: &'c Config, kind: &str) -> Self {
        let texts_are_one = kind == "sqlite";
        Self { config, texts_are_one, reads: BTreeMap::new(), writes: BTreeMap::new() }
    }

    /// Notes the columns that a read answers.
    pub(super) fn read(&mut self, entity: &'c str, columns: Vec<OutputColumn>) {
        self.reads.insert(entity, columns);
    }

    /// Notes the columns that a write returns.
    pub(super) fn write(&mut self, entity: &'c str, write: &'c str, columns: Vec<OutputColumn>) {
        self.writes.insert((entity, write), columns);
    }

    /// Every name that can't be built, or that the read and the write would build differently.
    pub(super) fn problems(&self) -> Vec<SettingProblem> {
        let mut problems = Vec::new();
        for entity in self.config.entities.values() {
            for (at, tag) in entity.tags.iter().enumerate() {
                let path = format!("entity.{}.tags[{at}]", entity.name);
                let columns = self.reads.get(&*entity.name);
                let holes = holes(tag.pieces(), &entity.params, columns);
                problems.extend(opaque(&path, &holes));
            }
            for write in entity.writes.values() {
                for (at, text) in write.touches.iter().enumerate() {
                    let path = format!("entity.{}.write.{}.touches[{at}]", entity.name, write.name);
                    problems.extend(self.touch(&path, entity, write, text));
                }
            }
        }
        problems
    }

    fn touch(
        &self,
        path: &str,
        entity: &EntityConfig,
        write: &WriteConfig,
        text: &TouchText,
    ) -> Vec<SettingProblem> {
        let columns = self.writes.get(&(&*entity.name, &*write.name));
        match text.touch() {
            Touch::Tag(tag) => {
                let holes = holes(tag, &write.params, columns);
                let mut problems = opaque(path, &holes);
                problems.extend(self.carriers(path, tag, &holes));
                problems
            }
            Touch::Read(read) => {
                let arguments = read.arguments.iter();
                let holes: Vec<_> =
                    arguments.map(|argument| hole(argument, &write.params, columns)).collect();
                let mut problems = opaque(path, &holes);
                if let Some(read) = self.config.entities.get(&read.entity) {
                    problems.extend(self.arguments(path, &holes, read));
                }
                problems
            }
        }
    }

    /// Arguments whose text is not the one that the read's parameter has.
    fn arguments(
        &self,
        path: &str,
        holes: &[Hole<'_>],
        read: &EntityConfig,
    ) -> Vec<SettingProblem> {
        let misfits = holes.iter().zip(&read.params).filter_map(|(hole, param)| {
            let theirs = Hole { name: param.name.clone(), ty: None, param: Some(param.ty) };
            (!self.fit(hole, &theirs)).then(|| {
                format!(
                    "`{}` is of type {}, and {}({}) is read with {}: one value would have two \
                     texts, and the key would be another one; convert it, or touch a tag",
                    hole.name,
                    hole.shown(),
                    read.name,
                    param.name,
                    param.ty
                )
            })
        });
        misfits.map(|message| (path.to_owned(), message)).collect()
    }

    /// Reads that carry this tag, built from another type.
    fn carriers(&self, path: &str, tag: &[Piece], ours: &[Hole<'_>]) -> Vec<SettingProblem> {
        let mut problems = Vec::new();
        for entity in self.config.entities.values() {
            let carries = |carried: &&TagTemplate| are_alike(carried.pieces(), tag);
            for carried in entity.tags.iter().filter(carries) {
                let columns = self.reads.get(&*entity.name);
                let theirs = holes(carried.pieces(), &entity.params, columns);
                for (hole, their) in ours.iter().zip(&theirs) {
                    if !self.fit(hole, their) {
                        problems.push((
                            path.to_owned(),
                            format!(
                                "`{}` is of type {}, and {} carries the tag with `{}` of type \
                                 {}: one value would have two texts; convert one of them",
                                hole.name,
                                hole.shown(),
                                entity.name,
                                their.name,
                                their.shown()
                            ),
                        ));
                    }
                }
            }
        }
        problems
    }

    /// Whether equal values have equal texts. A column that has no text at all is a problem of its
    /// own.
    fn fit(&self, left: &Hole<'_>, right: &Hole<'_>) -> bool {
        match (left.family(self.texts_are_one), right.family(self.texts_are_one)) {
            (TextFamily::Unknown, _) | (_, TextFamily::Unknown) => true,
            (TextFamily::Dynamic, other) | (other, TextFamily::Dynamic) => {
                other != TextFamily::Bool
            }
            (left, right) => left == right,
        }
    }
}

impl Hole<'_> {
    fn family(&self, texts_are_one: bool) -> TextFamily {
        match (self.param, self.ty) {
            (Some(param), _) => family(param, texts_are_one),
            (None, Some(ColumnType::Named(ty))) => family(*ty, texts_are_one),
            (None, Some(ColumnType::Dynamic)) => TextFamily::Dynamic,
            (None, Some(ColumnType::Opaque(_)) | None) => TextFamily::Unknown,
        }
    }

    fn shown(&self) -> String {
        match (self.param, self.ty) {
            (Some(param), _) => param.to_string(),
            (None, Some(ColumnType::Named(ty))) => ty.to_string(),
            (None, Some(ColumnType::Opaque(name))) => name.clone(),
            (None, Some(ColumnType::Dynamic) | None) => "no declared type".to_owned(),
        }
    }
}

fn holes<'t>(
    tag: &[Piece],
    params: &[Param],
    columns: Option<&'t Vec<OutputColumn>>,
) -> Vec<Hole<'t>> {
    sources(tag).map(|source| hole(source, params, columns)).collect()
}

fn hole<'t>(source: &Source, params: &[Param], columns: Option<&'t Vec<OutputColumn>>) -> Hole<'t> {
    let returned = returned(source);
    let column = columns.zip(returned.as_ref());
    let column = column.and_then(|(columns, name)| columns.iter().find(|c| c.name == *name));
    let param = match source {
        Source::Argument(name) => params.iter().find(|param| param.name == *name),
        Source::Column(_) | Source::OldColumn(_) => None,
    };
    Hole {
        name: spelled(source),
        ty: column.map(|column| &column.ty),
        param: param.map(|param| param.ty),
    }
}

/// Columns that give no text.
fn opaque(path: &str, holes: &[Hole<'_>]) -> Vec<SettingProblem> {
    let problem = |hole: &Hole<'_>| match hole.ty {
        Some(ColumnType::Opaque(ty)) => Some((
            path.to_owned(),
            format!(
                "`{}` is of type {ty}, in which equal values can have different texts, so no name \
                 can be built from it: let the statement convert it to a type that has one",
                hole.name
            ),
        )),
        Some(ColumnType::Named(_) | ColumnType::Dynamic) | None => None,
    };
    holes.iter().filter_map(problem).collect()
}

/// Types whose equal values have equal texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TextFamily {
    Unknown,
    Dynamic,
    Bool,
    Numbers,
    Texts,
    Documents,
    NumberLists,
    TextLists,
    /// A type that has this in common with no other.
    Alone(ParamType),
}

fn family(ty: ParamType, texts_are_one: bool) -> TextFamily {
    let apart = if texts_are_one { TextFamily::Texts } else { TextFamily::Alone(ty) };
    match ty {
        ParamType::Bool => TextFamily::Bool,
        ParamType::Int2
        | ParamType::Int4
        | ParamType::Int8
        | ParamType::Float8
        | ParamType::Numeric => TextFamily::Numbers,
        // In Postgres the 0.1 of a `float4` is another number than that of the other types.
        ParamType::Float4 if texts_are_one => TextFamily::Numbers,
        ParamType::Float4 | ParamType::Bytea => TextFamily::Alone(ty),
        ParamType::Text => TextFamily::Texts,
        ParamType::Uuid | ParamType::Date | ParamType::Timestamp | ParamType::TimestampTz => apart,
        ParamType::Json | ParamType::Jsonb if texts_are_one => TextFamily::Texts,
        ParamType::Json | ParamType::Jsonb => TextFamily::Documents,
        ParamType::Array(_) if texts_are_one => TextFamily::Texts,
        ParamType::Array(element) => match family(element.scalar(), false) {
            TextFamily::Numbers => TextFamily::NumberLists,
            TextFamily::Texts => TextFamily::TextLists,
            TextFamily::Unknown
            | TextFamily::Dynamic
            | TextFamily::Bool
            | TextFamily::Documents
            | TextFamily::NumberLists
            | TextFamily::TextLists
            | TextFamily::Alone(_) => TextFamily::Alone(ty),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    const CONFIG: &str = r#"
[origin]
url = "postgres://app@localhost/shop"
[entity.account]
params = ["number:int8"]
read = "SELECT 1"
ttl = "1m"
tags = ["owner:{row.owner}", "all"]
[entity.account.write.move]
params = ["owner:uuid", "day:date"]
sql = "UPDATE 1"
touches = ["tag owner:{owner}", "tag owner:{row.owner}", "tag all"]
"#;

    #[test]
    fn columns_and_parameters_of_one_family_have_no_problem() {
        let uuid = ColumnType::Named(ParamType::Uuid);
        assert_eq!(problems("postgres", &uuid, &uuid), Vec::<SettingProblem>::new());
    }

    #[test]
    fn a_tag_that_is_built_from_two_types_is_refused_where_it_is_touched() {
        let (text, uuid) = (ColumnType::Named(ParamType::Text), ColumnType::Named(ParamType::Uuid));
        let found = problems("postgres", &text, &uuid);
        let places: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
        let touches = "entity.account.write.move.touches";
        assert_eq!(places, [format!("{touches}[0]"), format!("{touches}[1]")]);
        assert!(found[0].1.contains("`owner` is of type uuid"), "{found:?}");
        assert!(found[0].1.contains("`row.owner` of type text"), "{found:?}");
        // In SQLite both are texts.
        assert_eq!(problems("sqlite", &text, &uuid), Vec::<SettingProblem>::new());
    }

    #[test]
    fn a_column_that_gives_no_text_is_refused_on_both_sides() {
        let citext = ColumnType::Opaque("citext".to_owned());
        let found = problems("postgres", &citext, &citext);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].0, "entity.account.tags[0]");
        assert!(found[0].1.contains("`row.owner` is of type citext"), "{found:?}");
    }

    #[test]
    fn every_numeric_type_but_the_short_float_is_of_one_family() {
        let numbers = ["int2", "int4", "int8", "numeric", "float8"];
        let family = |ty: &str| family(ty.parse().unwrap(), false);
        assert!(numbers.iter().all(|ty| family(ty) == TextFamily::Numbers));
        assert_ne!(family("float4"), TextFamily::Numbers);
        assert_eq!(family("int2[]"), family("numeric[]"));
        assert_ne!(family("date"), family("timestamp"));
        assert_ne!(family("timestamp[]"), family("timestamptz[]"));
    }

    fn problems(kind: &str, read: &ColumnType, returned: &ColumnType) -> Vec<SettingProblem> {
        let config = Config::parse(CONFIG, "corral.toml", &Environment::default()).unwrap();
        let column =
            |ty: &ColumnType| vec![OutputColumn { name: "owner".to_owned(), ty: ty.clone() }];
        let mut answers = Descriptions::new(&config, kind);
        answers.read("account", column(read));
        answers.write("account", "move", column(returned));
        answers.problems()
    }
}
