//! The built-in policy's own settings, validated once.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use crate::flight::Tuning;
use crate::json::{self, JsonValue};
use crate::lifetime::{DURATION_MAX_MS, JITTER_MAX, LifetimeDraw};
use crate::{Objection, escape, key};

/// Every key begins with it; under another namespace nothing that was stored before is found.
const NAMESPACE_DEFAULT: &str = "v1";

/// A base of 300 s lives 240 s to 360 s.
const JITTER_DEFAULT: f64 = 0.2;

/// XFetch's optimum for loads whose cost varies as an exponential.
const EARLY_REFRESH_DEFAULT: f64 = 1.0;

/// Beyond this, refreshes begin so early that the floor of half a life decides alone.
const EARLY_REFRESH_MAX: f64 = 10.0;

/// A second: how long other flights wait for a holder that died. A living holder renews its lease.
const LEASE_DEFAULT_MS: u32 = 1_000;

/// Shorter leases would run out in an ordinary pause of the process or the network.
const LEASE_MIN_MS: u32 = 100;

/// A dead holder's lease keeps the other flights of its key waiting, so it may not last for long.
const LEASE_MAX_MS: u32 = 60_000;

/// 0 means until the deadline: a load that is alive is always worth waiting for.
const PATIENCE_DEFAULT_MS: u32 = 0;

/// The settings' names.
const KNOWN: [&str; 5] = ["namespace", "jitter", "early_refresh", "lease_ms", "patience_ms"];

/// What the operator sets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) namespace: String,
    pub(crate) tuning: Tuning,
}

impl Settings {
    /// Reads and checks the settings. `others` are the names of the settings that the rules read.
    pub(crate) fn try_new(settings: &str, others: &[&str]) -> Result<Self, Vec<Objection>> {
        let mut reader = SettingsReader::try_new(settings)?;
        let settings = reader.read();
        reader.name_unknown(others);
        if reader.objections.is_empty() { Ok(settings) } else { Err(reader.objections) }
    }
}

/// A whole number among the rules' own settings, for [`Rules::configure`](crate::Rules::configure):
/// `default` if the operator does not set it. `settings` is the JSON object of `[policy.settings]`.
///
/// # Errors
/// An objection to a value that is no whole number in `range`, or to settings that are no object.
pub fn whole_setting(
    settings: &str,
    name: &'static str,
    default: u32,
    range: RangeInclusive<u32>,
) -> Result<u32, Vec<Objection>> {
    let mut reader = SettingsReader::try_new(settings)?;
    let number = reader.number(name, default, range);
    if reader.objections.is_empty() { Ok(number) } else { Err(reader.objections) }
}

/// Reads field by field. A mistake is noted and reading goes on with the default, so that one pass
/// finds every mistake.
struct SettingsReader<'t> {
    fields: Vec<(String, JsonValue<'t>)>,
    objections: Vec<Objection>,
}

impl<'t> SettingsReader<'t> {
    fn try_new(settings: &'t str) -> Result<Self, Vec<Objection>> {
        let fields = json::object(settings)
            .map_err(|error| vec![Objection::to_setting("", format!("is not JSON: it {error}"))])?;
        Ok(Self { fields, objections: Vec::new() })
    }

    fn read(&mut self) -> Settings {
        let early_refresh = ("early_refresh", EARLY_REFRESH_DEFAULT, EARLY_REFRESH_MAX);
        Settings {
            namespace: self.namespace(),
            tuning: Tuning {
                spread: LifetimeDraw {
                    jitter: self.fraction("jitter", JITTER_DEFAULT, JITTER_MAX),
                    early_refresh: self.fraction(early_refresh.0, early_refresh.1, early_refresh.2),
                },
                lease_ms: self.number("lease_ms", LEASE_DEFAULT_MS, LEASE_MIN_MS..=LEASE_MAX_MS),
                patience_ms: self.number("patience_ms", PATIENCE_DEFAULT_MS, 0..=DURATION_MAX_MS),
            },
        }
    }

    fn namespace(&mut self) -> String {
        let legal = |byte: u8| {
            escape::is_safe(byte) && !byte.is_ascii_uppercase() && !matches!(byte, b'@' | b'+')
        };
        match self.get("namespace") {
            None => NAMESPACE_DEFAULT.into(),
            Some(JsonValue::Text(name))
                if (1..=key::NAMESPACE_BYTES_MAX).contains(&name.len())
                    && name.bytes().all(legal) =>
            {
                name
            }
            Some(_) => {
                let most = key::NAMESPACE_BYTES_MAX;
                let legal = "letters in lower case, digits and `. _ -`";
                self.reject("namespace", format!("must be a text, 1 to {most} of {legal}"));
                NAMESPACE_DEFAULT.into()
            }
        }
    }

    /// A whole number in `range`.
    fn number(&mut self, name: &'static str, default: u32, range: RangeInclusive<u32>) -> u32 {
        let Some(value) = self.get(name) else { return default };
        value.whole().filter(|number| range.contains(number)).unwrap_or_else(|| {
            let (low, high) = range.into_inner();
            self.reject(name, format!("must be a whole number from {low} to {high}, not {value}"));
            default
        })
    }

    /// A number from 0 to `high`, which is a whole number of tenths.
    fn fraction(&mut self, name: &'static str, default: f64, high: f64) -> f64 {
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

    fn get(&self, name: &str) -> Option<JsonValue<'t>> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    fn reject(&mut self, path: &str, message: String) {
        self.objections.push(Objection::to_setting(path, message));
    }

    fn name_unknown(&mut self, others: &[&str]) {
        for (name, _) in &self.fields {
            let name = name.as_str();
            if !KNOWN.contains(&name) && !others.contains(&name) {
                let mut known = KNOWN.join("`, `");
                for other in others {
                    known.push_str("`, `");
                    known.push_str(other);
                }
                let message = format!("is unknown here; known are `{known}`");
                self.objections.push(Objection::to_setting(name, message));
            }
        }
    }
}

#[cfg(test)]
mod tests;
