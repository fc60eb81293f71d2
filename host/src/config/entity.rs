//! `[entity."name"]` and its writes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::document::{Spot, suggestion};
use super::fixed::{DEADLINE, DEFAULT_DEADLINE, LIFETIME, WINDOW};
use super::http;
use super::section::{Item, Raw, Section};
use super::template::{self, Of, TagTemplate, TouchText};
use super::values::{self, DurationBounds, shown};
use super::{Allowed, EntityConfig, Param, Then, WriteConfig};
use crate::origin::{ParamType, ReadStatement, Rows, WriteStatement};
use crate::policy::{Source, Touch, TouchedRead};

/// A row that does not exist now may exist soon.
const DEFAULT_NEGATIVE_TTL: Duration = Duration::from_secs(30);

/// Off unless configured. Only with a near cache can a read on another host be older than a write
/// that was acknowledged before the read, for as long as news of the write takes.
const DEFAULT_NEAR: Duration = Duration::ZERO;

/// Longer than a request's deadline: a load that no request waits for any more still fills for the
/// next reader.
const DEFAULT_LOAD_LIMIT: Duration = Duration::from_secs(10);

/// Longest name of an entity, a write or a parameter: an entity's is part of every key, and a key
/// has 512 bytes.
const MAX_NAME: usize = 64;

const ROWS: [(&str, Rows); 2] = [("one", Rows::One), ("many", Rows::Many)];
const THEN: [(&str, Then); 2] =
    [("invalidate", Then::Invalidate), ("write-through", Then::WriteThrough)];

/// Stands in the place of a list: the write touches nothing, on purpose.
const NOTHING: &str = "nothing";

const ALLOWED: [(&str, Allowed); 4] = [
    ("unread-tags", Allowed::UnreadTags),
    ("stale-absence", Allowed::StaleAbsence),
    ("stale-moves", Allowed::StaleMoves),
    ("stale-reads", Allowed::StaleReads),
];

/// A parameter as it was declared.
struct DeclaredParameter {
    param: Param,
    /// The type's name as it was written.
    ty: String,
}

/// The parameters of an entity or a write. `None` if they are wrong, and reported; then references
/// to them are not checked.
type Params = Option<Vec<DeclaredParameter>>;

/// What the file says of entities.
pub(super) struct Entities {
    /// The entities without a problem, by name.
    pub(super) by_name: BTreeMap<String, EntityConfig>,
    /// The first entity that has SQL, right or wrong.
    pub(super) first_with_sql: Option<String>,
}

/// Reads every entity. Their parameters come first: a write may touch any of them.
pub(super) fn entities(root: &mut Section<'_>) -> Entities {
    let mut sections = root.named_sections("entity");
    let params: BTreeMap<String, Params> =
        sections.iter_mut().map(|(name, section)| (name.clone(), self::params(section))).collect();
    let mut entities = Entities { by_name: BTreeMap::new(), first_with_sql: None };
    for (name, section) in sections {
        check_name(&name, &section);
        let writes = section.is_table("write");
        if entities.first_with_sql.is_none() && (writes || section.has("read")) {
            entities.first_with_sql = Some(name.clone());
        }
        if let Some(entity) = entity(&name, section, &params) {
            entities.by_name.insert(name, entity);
        }
    }
    entities
}

fn entity(
    name: &str,
    mut section: Section<'_>,
    entities: &BTreeMap<String, Params>,
) -> Option<EntityConfig> {
    let declared = entities.get(name).and_then(Option::as_ref);
    let sql = section.take("read", sql);
    let rows = section.take("rows", |raw| values::choice(raw, &ROWS)).unwrap_or(Rows::One);
    let ttl = section.require("ttl", "how long a value is fresh, such as \"5m\"", |raw| {
        values::duration(raw, LIFETIME)
    });
    let mut duration = |key, bounds: DurationBounds, default| {
        section.take(key, |raw| values::duration(raw, bounds)).unwrap_or(default)
    };
    let stale_while_revalidate = duration("stale_while_revalidate", WINDOW, Duration::ZERO);
    let stale_if_error = duration("stale_if_error", WINDOW, Duration::ZERO);
    let negative_ttl = duration("negative_ttl", WINDOW, DEFAULT_NEGATIVE_TTL);
    let deadline = duration("deadline", DEADLINE, DEFAULT_DEADLINE);
    let load_limit = duration("load_limit", DEADLINE, DEFAULT_LOAD_LIMIT.max(deadline));
    let near = duration("near", WINDOW, DEFAULT_NEAR);
    let cache_control = http::cache_control(&mut section);
    if let Some(ttl) = ttl.filter(|ttl| near > *ttl) {
        let (near, ttl) = (humantime::format_duration(near), humantime::format_duration(ttl));
        section.complain(
            "near",
            format!("\"{near}\" is longer than its ttl; write at most \"{ttl}\""),
        );
    }
    if load_limit < deadline {
        let (limit, least) =
            (humantime::format_duration(load_limit), humantime::format_duration(deadline));
        section.complain(
            "load_limit",
            format!("\"{limit}\" is shorter than its deadline; write at least \"{least}\""),
        );
    }
    let tags = tags(&mut section, declared);
    let depends = depends(&mut section);
    let writes = writes(&mut section, entities);
    section.finish();

    let params: Vec<Param> = declared?.iter().map(|declared| declared.param.clone()).collect();
    Some(EntityConfig {
        name: name.to_owned(),
        read: sql.map(|sql| ReadStatement { sql, params: types(&params), rows }),
        params,
        rows,
        ttl: ttl?,
        stale_while_revalidate,
        stale_if_error,
        negative_ttl,
        tags,
        depends,
        deadline,
        load_limit,
        near,
        cache_control,
        writes,
    })
}

fn tags(section: &mut Section<'_>, declared: Option<&Vec<DeclaredParameter>>) -> Vec<TagTemplate> {
    let names = declared.map(|declared| names(declared));
    let mut tags = Vec::new();
    for Item { text, spot } in section.texts("tags") {
        let tag = TagTemplate::parse(&text).and_then(|tag| {
            template::check_tag(tag.pieces(), names.as_deref(), Of::Read).map(|()| tag)
        });
        match tag {
            Ok(tag) => tags.push(tag),
            Err(message) => section.complain_at(&spot, message),
        }
    }
    tags
}

fn depends(section: &mut Section<'_>) -> Vec<String> {
    let mut depends = Vec::new();
    for Item { text, spot } in section.texts("depends") {
        match text.trim() {
            "" => section.complain_at(&spot, "an empty name; write a table's, such as \"users\""),
            name => depends.push(name.to_owned()),
        }
    }
    depends
}

fn writes(
    section: &mut Section<'_>,
    entities: &BTreeMap<String, Params>,
) -> BTreeMap<String, WriteConfig> {
    let mut writes = BTreeMap::new();
    for (name, section) in section.named_sections("write") {
        check_name(&name, &section);
        if let Some(write) = write(&name, section, entities) {
            writes.insert(name, write);
        }
    }
    writes
}

fn write(
    name: &str,
    mut section: Section<'_>,
    entities: &BTreeMap<String, Params>,
) -> Option<WriteConfig> {
    let declared = params(&mut section);
    let sql = section.require("sql", "the statement that writes", sql);
    let then = section.take("then", |raw| values::choice(raw, &THEN)).unwrap_or(Then::Invalidate);
    let word = section.word("touches");
    let touches = match word {
        None => touches(&mut section, declared.as_deref(), entities),
        Some(word) => {
            if word != NOTHING {
                section.complain(
                    "touches",
                    format!(
                        "{} is not valid; write a list such as [\"user.profile(id)\"], or \
                         {NOTHING:?} for a write that makes no read untrue",
                        shown(word)
                    ),
                );
            }
            Vec::new()
        }
    };
    let allowed = allowed(&mut section);
    section.finish();

    let params: Vec<Param> = declared?.into_iter().map(|declared| declared.param).collect();
    let statement = WriteStatement { sql: sql?, params: types(&params) };
    Some(WriteConfig {
        name: name.to_owned(),
        params,
        statement,
        then,
        touches,
        touches_nothing: word.is_some(),
        allowed,
    })
}

fn touches(
    section: &mut Section<'_>,
    declared: Option<&[DeclaredParameter]>,
    entities: &BTreeMap<String, Params>,
) -> Vec<TouchText> {
    let mut touches = Vec::new();
    for Item { text, spot } in section.texts("touches") {
        let touch = TouchText::parse(&text)
            .and_then(|touch| check_touch(touch.touch(), declared, entities).map(|()| touch));
        match touch {
            Ok(touch) => touches.push(touch),
            Err(message) => section.complain_at(&spot, message),
        }
    }
    touches
}

fn allowed(section: &mut Section<'_>) -> Vec<Allowed> {
    let mut allowed = Vec::new();
    for Item { text, spot } in section.texts("allow") {
        match values::choice(Raw::Text(&text), &ALLOWED) {
            Ok(word) => allowed.push(word),
            Err(message) => section.complain_at(&spot, message),
        }
    }
    allowed
}

fn check_touch(
    touch: &Touch,
    own: Option<&[DeclaredParameter]>,
    entities: &BTreeMap<String, Params>,
) -> Result<(), String> {
    let TouchedRead { entity, arguments } = match touch {
        Touch::Tag(tag) => {
            return template::check_tag(tag, own.map(names).as_deref(), Of::Write);
        }
        Touch::Read(read) => read,
    };
    let Some(params) = entities.get(entity) else {
        return Err(match suggestion(entity, entities.keys().map(String::as_str)) {
            Some(known) => format!("no entity {}; did you mean {known:?}?", shown(entity)),
            None => format!("no entity {}; write the name of one", shown(entity)),
        });
    };
    template::check_arguments(arguments)?;
    let (Some(own), Some(params)) = (own, params) else { return Ok(()) };
    if arguments.len() != params.len() {
        let wanted = names(params).join(", ");
        return Err(format!("{} arguments, and the read is {entity}({wanted})", arguments.len()));
    }
    arguments.iter().zip(params).try_for_each(|(source, param)| match source {
        Source::Argument(name) => {
            let own = own.iter().find(|own| own.param.name == *name);
            check_argument(name, own, entity, param)
        }
        // Only the database knows a column's type.
        Source::Column(_) | Source::OldColumn(_) => Ok(()),
    })
}

/// A write's parameter must have the type of the read's parameter that it stands for: two types may
/// print one value in two ways (`1` and `1.0`), and the key would be another one than the read's.
fn check_argument(
    argument: &str,
    own: Option<&DeclaredParameter>,
    entity: &str,
    param: &DeclaredParameter,
) -> Result<(), String> {
    let Some(own) = own else {
        return Err(format!(
            "{} is no parameter of this write; declare it, or write \"row.{argument}\" for a column \
             that its statement returns",
            shown(argument)
        ));
    };
    if own.param.ty == param.param.ty {
        return Ok(());
    }
    let (name, theirs) = (&param.param.name, &param.ty);
    Err(format!(
        "{argument} is {} here, and {name} is {theirs} in {entity}: the key would be another one; \
         declare it \"{argument}:{theirs}\"",
        own.ty
    ))
}

fn params(section: &mut Section<'_>) -> Params {
    let mut params: Vec<DeclaredParameter> = Vec::new();
    let mut all_right = true;
    for Item { text, spot } in section.texts("params") {
        let declared = declared(&text).and_then(|declared| {
            let name = &declared.param.name;
            match params.iter().any(|other| other.param.name == *name) {
                true => Err(format!("{name:?} is declared twice; give each its own name")),
                false => Ok(declared),
            }
        });
        match declared {
            Ok(declared) => params.push(declared),
            Err(message) => {
                all_right = false;
                section.complain_at(&spot, message);
            }
        }
    }
    all_right.then_some(params)
}

/// Reads `id:int8`.
fn declared(text: &str) -> Result<DeclaredParameter, String> {
    let Some((name, ty)) = text.split_once(':') else {
        return Err(format!("{} has no type; write \"id:int8\"", shown(text)));
    };
    let (name, ty) = (name.trim(), ty.trim());
    let first = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if !first || !name.bytes().all(rest) || name.len() > MAX_NAME {
        let rule = format!("write a-z, 0-9 and _, a digit not first, at most {MAX_NAME}");
        return Err(format!("{} is not a parameter's name; {rule}", shown(name)));
    }
    let param = ty.parse::<ParamType>().map_err(|error| format!("{}: {error}", shown(text)))?;
    Ok(DeclaredParameter { param: Param { name: name.to_owned(), ty: param }, ty: ty.to_owned() })
}

/// A statement as it is prepared: one statement, without the semicolon that ends it in a script.
fn sql(raw: Raw<'_>) -> Result<String, String> {
    let text = values::text(raw)?;
    let text = text.trim();
    let text = text.strip_suffix(';').unwrap_or(text).trim_end();
    if text.is_empty() {
        return Err("an empty statement; write SQL".to_owned());
    }
    Ok(text.to_owned())
}

fn check_name(name: &str, section: &Section<'_>) {
    let first = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    if !first || !name.bytes().all(rest) || name.len() > MAX_NAME {
        let spot: Spot = section.own_spot();
        section.complain_at(
            &spot,
            format!(
                "{} is not a name; write a-z, 0-9 and . _ -, a letter or digit first, at most \
                 {MAX_NAME} characters",
                shown(name)
            ),
        );
    }
}

fn names(declared: &[DeclaredParameter]) -> Vec<&str> {
    declared.iter().map(|declared| declared.param.name.as_str()).collect()
}

fn types(params: &[Param]) -> Vec<ParamType> {
    params.iter().map(|param| param.ty).collect()
}
