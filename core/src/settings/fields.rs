//! Reads a JSON object field by field. What is wrong is noted, with its path, and reading goes on
//! with a value that will do, so that one pass finds every problem.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;
use core::ops::RangeInclusive;

use crate::Problem;
use crate::json::{Object, Value};

/// An object whose fields are being read.
pub(super) struct Fields<'p, 'v> {
    path: String,
    map: &'v Object<'v>,
    asked: Vec<&'static str>,
    problems: &'p mut Vec<Problem>,
}

/// A field whose name is not ours: an entity, a write.
pub(super) struct Entry<'v> {
    pub(super) name: &'v str,
    pub(super) value: &'v Value<'v>,
    path: String,
}

impl<'p, 'v> Fields<'p, 'v> {
    /// The fields of `value`; none: it is no object, which is noted.
    pub(super) fn of(
        path: String,
        value: &'v Value<'v>,
        problems: &'p mut Vec<Problem>,
    ) -> Option<Self> {
        let map = value.object();
        if map.is_none() {
            problems.push(Problem { path: path.clone(), message: "must be an object".into() });
        }
        Some(Self { path, map: map?, asked: Vec::new(), problems })
    }

    /// A whole number in `range`. Without a default it must be there.
    pub(super) fn number(
        &mut self,
        name: &'static str,
        default: Option<u32>,
        range: RangeInclusive<u32>,
    ) -> u32 {
        let fallback = default.unwrap_or(*range.end());
        let Some(value) = self.get(name) else {
            if default.is_none() {
                self.reject(name, "is missing");
            }
            return fallback;
        };
        value.whole().filter(|number| range.contains(number)).unwrap_or_else(|| {
            let (low, high) = range.into_inner();
            self.reject(name, format!("must be a whole number from {low} to {high}, not {value}"));
            fallback
        })
    }

    /// A number from 0 to `high`, which is a whole number of tenths.
    pub(super) fn fraction(&mut self, name: &'static str, default: f64, high: f64) -> f64 {
        let Some(value) = self.get(name) else { return default };
        let number = value.fraction().filter(|number| (0.0..=high).contains(number));
        number.unwrap_or_else(|| {
            // The library's own formatting of floats would be a fifth of the component.
            let tenths = (high * 10.0) as u32;
            let (high, tenths) = (tenths / 10, tenths % 10);
            self.reject(name, format!("must be a number from 0 to {high}.{tenths}, not {value}"));
            default
        })
    }

    /// A text.
    pub(super) fn text(&mut self, name: &'static str, default: &'v str) -> &'v str {
        let Some(value) = self.get(name) else { return default };
        value.text().unwrap_or_else(|| {
            self.reject(name, format!("must be a text, not {value}"));
            default
        })
    }

    /// A list of texts, each with its place in it as `name[0]`. What is no text is left out.
    pub(super) fn texts(&mut self, name: &'static str) -> Vec<(String, &'v str)> {
        let Some(value) = self.get(name) else { return Vec::new() };
        let Some(list) = value.list() else {
            self.reject(name, format!("must be a list of texts, not {value}"));
            return Vec::new();
        };
        let mut texts = Vec::with_capacity(list.len());
        for (index, item) in list.iter().enumerate() {
            let place = format!("{name}[{index}]");
            match item.text() {
                Some(text) => texts.push((place, text)),
                None => self.reject(&place, format!("must be a text, not {item}")),
            }
        }
        texts
    }

    /// A list of texts, each read by `parse`. What it can't read is left out.
    pub(super) fn parsed<T, E: Display>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let mut items = Vec::new();
        for (place, text) in self.texts(name) {
            match parse(text) {
                Ok(item) => items.push(item),
                Err(error) => self.reject(&place, format!("`{text}`: {error}")),
            }
        }
        items
    }

    /// The fields of an object, if it is there.
    pub(super) fn object(&mut self, name: &'static str) -> Option<Fields<'_, 'v>> {
        let value = self.get(name)?;
        Fields::of(self.path_of(name), value, self.problems)
    }

    /// The entries of an object whose names are the operator's, sorted by them.
    pub(super) fn entries(&mut self, name: &'static str) -> Vec<Entry<'v>> {
        let Some(fields) = self.object(name) else { return Vec::new() };
        let entry = |(name, value)| Entry { name, value, path: fields.path_of(name) };
        fields.map.iter().map(entry).collect()
    }

    /// The fields of an entry.
    pub(super) fn enter(&mut self, entry: Entry<'v>) -> Option<Fields<'_, 'v>> {
        Fields::of(entry.path, entry.value, self.problems)
    }

    /// Notes a problem with a field; with an empty name, with the object itself.
    pub(super) fn reject(&mut self, name: &str, message: impl Into<String>) {
        let path = self.path_of(name);
        self.problems.push(Problem { path, message: message.into() });
    }

    /// Notes every field that nobody asked for.
    pub(super) fn finish(self) {
        let known = self.asked.join("`, `");
        for (name, _) in self.map.iter().filter(|(name, _)| !self.asked.contains(name)) {
            let path = self.path_of(name);
            let message = format!("is unknown here; known are `{known}`");
            self.problems.push(Problem { path, message });
        }
    }

    fn get(&mut self, name: &'static str) -> Option<&'v Value<'v>> {
        self.asked.push(name);
        self.map.get(name)
    }

    fn path_of(&self, name: &str) -> String {
        match (self.path.as_str(), name) {
            ("", name) => name.into(),
            (path, "") => path.into(),
            (path, name) => format!("{path}.{name}"),
        }
    }
}
