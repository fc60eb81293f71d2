//! A table of the configuration that knows which of its keys were used.
//!
//! The reader of a section takes every key that it knows and calls [`Section::finish`], which
//! reports the rest. The environment's value of a key comes before the file's.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::{Document, Spot, spelled, suggestion};
use super::problem::Location;
use super::values::kind;

/// A value before it has a type.
#[derive(Clone, Copy)]
pub(super) enum Raw<'a> {
    /// From the file.
    Toml(&'a DeValue<'a>),
    /// From the environment.
    Text(&'a str),
}

/// An item of a list of texts.
pub(super) struct Item {
    pub(super) text: String,
    pub(super) spot: Spot,
}

#[must_use = "unknown keys are reported by `finish`"]
pub(super) struct Section<'a> {
    document: &'a Document<'a>,
    path: Vec<String>,
    /// `None` if the file has no such table; the environment may still know its keys.
    table: Option<&'a DeTable<'a>>,
    place: Location,
    known: Vec<String>,
}

impl<'a> Section<'a> {
    pub(super) fn root(document: &'a Document<'a>, table: &'a DeTable<'a>) -> Self {
        let place = Location::File(document.file().to_owned());
        Self { document, path: Vec::new(), table: Some(table), place, known: Vec::new() }
    }

    /// The table under a key; an empty one if there is none.
    pub(super) fn section(&mut self, key: &str) -> Section<'a> {
        self.know(key);
        let (table, place) = match self.entry(key) {
            Some(value) => (self.table_of(key, value), self.document.position(&value.span())),
            None => (None, self.place.clone()),
        };
        Section { document: self.document, path: self.path_of(key), table, place, known: vec![] }
    }

    /// The tables under a key that have names of the user's choice.
    pub(super) fn named_sections(&mut self, key: &str) -> Vec<(String, Section<'a>)> {
        let mut parent = self.section(key);
        let names = parent.keys();
        names.into_iter().map(|name| (name.clone(), parent.section(&name))).collect()
    }

    /// The keys that the file has here.
    pub(super) fn keys(&self) -> Vec<String> {
        let keys = self.table.iter().flat_map(|table| table.keys());
        keys.map(|key| key.get_ref().to_string()).collect()
    }

    /// Whether the key's value in the file is a table.
    pub(super) fn is_table(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|value| value.get_ref().is_table())
    }

    /// Whether the key has a value, be it a wrong one.
    pub(super) fn has(&self, key: &str) -> bool {
        self.document.ask(&self.path_of(key)).is_some() || self.entry(key).is_some()
    }

    /// A key's value, parsed; `parse` says what is wrong with it. `None` if it is absent, or wrong
    /// and reported.
    pub(super) fn take<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(Raw<'a>) -> Result<T, String>,
    ) -> Option<T> {
        self.know(key);
        let raw = match self.document.ask(&self.path_of(key)) {
            Some((_, text)) => Raw::Text(text),
            None => Raw::Toml(self.entry(key)?.get_ref()),
        };
        parse(raw).map_err(|message| self.complain(key, message)).ok()
    }

    /// Like [`Section::take`]; an absent value is a problem, and `what` says what it would be.
    pub(super) fn require<T>(
        &mut self,
        key: &str,
        what: &str,
        parse: impl FnOnce(Raw<'a>) -> Result<T, String>,
    ) -> Option<T> {
        if !self.has(key) {
            self.complain(key, format!("missing; write {what}"));
        }
        self.take(key, parse)
    }

    /// A list of texts; in the environment, a TOML array.
    pub(super) fn texts(&mut self, key: &str) -> Vec<Item> {
        self.know(key);
        let spot = self.spot(key);
        let Some((_, text)) = self.document.ask(&self.path_of(key)) else {
            let place = |item: &Spanned<DeValue<'_>>| self.document.position(&item.span());
            let value = self.entry(key);
            return value.map_or_else(Vec::new, |v| self.items(v.get_ref(), &spot, place));
        };
        match DeValue::parse(text) {
            Ok(value) => self.items(value.get_ref(), &spot, |_| spot.place.clone()),
            Err(_) => {
                self.document.report(&spot, r#"not a list; write ["one", "two"]"#);
                Vec::new()
            }
        }
    }

    fn items(
        &self,
        value: &DeValue<'_>,
        spot: &Spot,
        place: impl Fn(&Spanned<DeValue<'_>>) -> Location,
    ) -> Vec<Item> {
        let Some(array) = value.as_array() else {
            let message = format!("a list of strings is needed here, not {}", kind(value));
            self.document.report(spot, message);
            return Vec::new();
        };
        let mut items = Vec::new();
        for (i, item) in array.iter().enumerate() {
            let spot = Spot { place: place(item), path: format!("{}[{i}]", spot.path) };
            match item.get_ref().as_str() {
                Some(text) => items.push(Item { text: text.to_owned(), spot }),
                None => {
                    let kind = kind(item.get_ref());
                    self.document.report(&spot, format!("a string is needed here, not {kind}"));
                }
            }
        }
        items
    }

    /// The key's value if it is a text where a list could stand; the key then counts as taken.
    pub(super) fn word(&mut self, key: &str) -> Option<&'a str> {
        let word = match self.document.ask(&self.path_of(key)) {
            Some((_, text)) => (!text.trim_start().starts_with('[')).then_some(text),
            None => self.entry(key)?.get_ref().as_str(),
        };
        word.inspect(|_| self.know(key))
    }

    /// Where a key's value comes from; for an absent one, where it would stand.
    pub(super) fn spot(&self, key: &str) -> Spot {
        let path = self.path_of(key);
        let place = match (self.document.ask(&path), self.entry(key)) {
            (Some((name, _)), _) => Location::Variable(name),
            (None, Some(value)) => self.document.position(&value.span()),
            (None, None) => self.place.clone(),
        };
        Spot { place, path: spelled(&path) }
    }

    /// Where the section itself stands.
    pub(super) fn own_spot(&self) -> Spot {
        Spot { place: self.place.clone(), path: spelled(&self.path) }
    }

    pub(super) fn complain(&self, key: &str, message: impl Into<String>) {
        self.document.report(&self.spot(key), message);
    }

    pub(super) fn complain_at(&self, spot: &Spot, message: impl Into<String>) {
        self.document.report(spot, message);
    }

    /// Variables under this section that no key asked for, as the ends of their names.
    pub(super) fn unasked(&self) -> Vec<String> {
        self.document.unasked_under(&self.path)
    }

    /// Reports every key that was not taken.
    pub(super) fn finish(self) {
        for (key, value) in self.table.into_iter().flatten() {
            let name: &str = key.get_ref();
            if self.known.iter().any(|known| known == name) {
                continue;
            }
            let place = self.document.position(&key.span());
            let spot = Spot { place, path: spelled(&self.path_of(name)) };
            self.document.report(&spot, self.unknown(name, value.get_ref().is_table()));
        }
    }

    fn unknown(&self, key: &str, is_table: bool) -> String {
        let known = self.known.iter().map(String::as_str);
        if let Some(known) = suggestion(key, known) {
            return format!("unknown key; did you mean {known:?}?");
        }
        match self.path.split_last() {
            // `[entity.user.profile]`: TOML takes the dot for a table in a table.
            Some((name, parents)) if is_table && !parents.is_empty() => {
                let dotted = format!("{}.{:?}", spelled(parents), format!("{name}.{key}"));
                format!("unknown key; a name with a dot needs quotes: [{dotted}]")
            }
            _ => format!("unknown key; the keys here are {}", self.known.join(", ")),
        }
    }

    fn table_of(&self, key: &str, value: &'a Spanned<DeValue<'a>>) -> Option<&'a DeTable<'a>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            let kind = kind(value.get_ref());
            let place = self.document.position(&value.span());
            let spot = Spot { place, path: spelled(&self.path_of(key)) };
            self.document.report(&spot, format!("a table is needed here, not {kind}"));
        }
        table
    }

    fn entry(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table?.get(key)
    }

    fn know(&mut self, key: &str) {
        self.known.push(key.to_owned());
    }

    fn path_of(&self, key: &str) -> Vec<String> {
        let mut path = self.path.clone();
        path.push(key.to_owned());
        path
    }
}
