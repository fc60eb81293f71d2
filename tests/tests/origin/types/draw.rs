//! Random values of a type, spelled in several ways.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

/// How the values of a type are drawn.
#[derive(Debug, Clone, Copy)]
pub(super) enum Draw {
    Bool,
    /// Whole numbers of so many bits.
    Integer(u32),
    Float4,
    Float8,
    Numeric,
    /// Numbers with two decimals.
    Money,
    /// Texts of at most so many letters.
    Text(usize),
    Uuid,
    Date,
    Timestamp,
    TimestampTz,
    Document,
    Bytes,
    Label,
    /// A list of such values, as JSON.
    List(&'static Draw),
}

/// The labels of an enum.
pub(super) const LABELS: [&str; 5] = ["red", "Red", "sea blue", "{", "null"];

const LETTERS: [&str; 12] = ["a", "A", "é", "🦀", "%", ":", "'", "\"", "\\", "{", " ", "0"];

/// The source of the values, which are the same in every run.
pub(super) struct Source(Xoshiro256PlusPlus);

impl Source {
    pub(super) fn new() -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(1))
    }

    /// So many spellings. Every second one comes from a small choice, so that values repeat.
    pub(super) fn spellings(&mut self, draw: Draw, count: usize) -> Vec<String> {
        let choice: Vec<String> = (0..8).map(|_| self.spelling(draw)).collect();
        let mut spelling = |at: usize| match at % 2 {
            0 => self.respelled(draw, &choice[at / 2 % choice.len()]),
            _ => self.spelling(draw),
        };
        (0..count).map(&mut spelling).collect()
    }

    fn spelling(&mut self, draw: Draw) -> String {
        match draw {
            Draw::Bool => self.one_of(&["true", "false"]).to_owned(),
            Draw::Integer(bits) => {
                let shift = 64 - self.0.random_range(1..=bits);
                (self.0.random::<i64>() >> shift).to_string()
            }
            Draw::Float4 => self.float(|source| f32::from_bits(source.0.random()).into(), true),
            Draw::Float8 => self.float(|source| f64::from_bits(source.0.random()), false),
            Draw::Numeric => self.numeric(),
            Draw::Money => format!("{}.{:02}", self.below(1000), self.below(100)),
            Draw::Text(letters) => {
                (0..self.below(letters + 1)).map(|_| self.one_of(&LETTERS)).collect()
            }
            Draw::Uuid => format!("{:032x}", self.0.random::<u128>()),
            Draw::Date => self.date(true),
            Draw::Timestamp => format!("{} {}", self.date(false), self.time()),
            Draw::TimestampTz => {
                let offset = self.one_of(&["+00", "+02:00", "-05:30", "+14:00", "-00:15"]);
                format!("{} {}{offset}", self.date(false), self.time())
            }
            Draw::Document => self.document(3),
            Draw::Bytes => {
                let bytes = (0..self.below(6)).map(|_| format!("{:02x}", self.below(256)));
                format!("\\x{}", bytes.collect::<String>())
            }
            Draw::Label => self.one_of(&LABELS).to_owned(),
            Draw::List(item) => {
                let items = (0..self.below(4)).map(|_| match self.below(5) {
                    0 => json!(null),
                    _ => json!(self.spelling(*item)),
                });
                json!(items.collect::<Vec<_>>()).to_string()
            }
        }
    }

    /// The same value, perhaps spelled differently.
    fn respelled(&mut self, draw: Draw, spelling: &str) -> String {
        let is_fraction = spelling.contains('.') && !spelling.contains('e');
        match draw {
            _ if self.below(2) == 0 => spelling.to_owned(),
            Draw::Uuid | Draw::Bytes => spelling.to_ascii_uppercase().replacen("\\X", "\\x", 1),
            Draw::Numeric | Draw::Money if is_fraction => format!("{spelling}00"),
            Draw::Document => format!(" {spelling} "),
            Draw::TimestampTz => spelling.replace("+00", "Z"),
            Draw::Bool
            | Draw::Integer(_)
            | Draw::Float4
            | Draw::Float8
            | Draw::Numeric
            | Draw::Money
            | Draw::Text(_)
            | Draw::Date
            | Draw::Timestamp
            | Draw::Label
            | Draw::List(_) => spelling.to_owned(),
        }
    }

    fn float(&mut self, any: impl Fn(&mut Self) -> f64, is_short: bool) -> String {
        let number = match self.below(8) {
            0 => return self.one_of(&["NaN", "Infinity", "-Infinity", "0", "-0"]).to_owned(),
            1..4 => self.0.random_range(-1000..1000) as f64 / 8.0,
            4 => self.0.random_range(-1000..1000) as f64 / 10.0,
            _ => any(self),
        };
        match number.is_finite() {
            true if is_short => format!("{:e}", number as f32),
            true => format!("{number:e}"),
            false => "1".to_owned(),
        }
    }

    fn numeric(&mut self) -> String {
        let sign = self.one_of(&["", "-"]);
        match self.below(10) {
            0 => self.one_of(&["NaN", "Infinity", "-Infinity"]).to_owned(),
            1 => format!("{sign}{}e{}", 1 + self.below(9), self.below(1200)),
            2 => format!("{sign}{}e-{}", 1 + self.below(9), self.below(1200)),
            3..6 => format!("{sign}{}.{:03}", self.below(100), self.below(1000)),
            _ => {
                let whole: String = (0..=self.below(40)).map(|_| self.digit()).collect();
                let fraction: String = (0..=self.below(40)).map(|_| self.digit()).collect();
                format!("{sign}{whole}.{fraction}")
            }
        }
    }

    /// A date; `is_alone` if it is not the beginning of a timestamp.
    fn date(&mut self, is_alone: bool) -> String {
        let (month, day) = (1 + self.below(12), 1 + self.below(28));
        match self.below(8) {
            0 if is_alone => self.one_of(&["infinity", "-infinity", "0044-03-15 BC"]).to_owned(),
            1 => format!("{}-{month:02}-{day:02}", 10_000 + self.below(200_000)),
            2 => format!("0001-{month:02}-{day:02}"),
            3 => format!("9999-{month:02}-{day:02}"),
            _ => format!("{:04}-{month:02}-{day:02}", 1 + self.below(9999)),
        }
    }

    fn time(&mut self) -> String {
        let fraction = match self.below(3) {
            0 => String::new(),
            1 => format!(".{}", self.below(10)),
            _ => format!(".{:06}", self.below(1_000_000)),
        };
        format!("{:02}:{:02}:{:02}{fraction}", self.below(24), self.below(60), self.below(60))
    }

    fn document(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 5 } else { 8 }) {
            0 => self.one_of(&["null", "true", "false", "{}", "[]", "\"\""]).to_owned(),
            1 => self.one_of(&["1", "1.0", "1e0", "100", "1e2", "-0", "0.00", "0"]).to_owned(),
            2 => format!("{}.{}", self.below(1000), self.below(1000)),
            3 => (0..=self.below(40)).map(|_| self.one_of(&["1", "9"])).collect(),
            4 => json!(self.spelling(Draw::Text(6))).to_string(),
            5 => self.one_of(&[r#""é""#, r#""\u00e9""#, r#""\u00E9""#]).to_owned(),
            6 => {
                let items: Vec<_> = (0..self.below(4)).map(|_| self.document(depth - 1)).collect();
                format!("[{}]", items.join(" , "))
            }
            _ => {
                let entries: Vec<_> = (0..self.below(4))
                    .map(|_| {
                        let key = self.one_of(&[r#""a""#, r#""b""#, r#""\u0061""#, r#""ab""#]);
                        format!("{key}: {}", self.document(depth - 1))
                    })
                    .collect();
                format!("{{{}}}", entries.join(","))
            }
        }
    }

    fn digit(&mut self) -> char {
        char::from(b'0' + self.0.random_range(0..10_u8))
    }

    fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    fn one_of(&mut self, of: &[&'static str]) -> &'static str {
        of[self.below(of.len())]
    }
}
