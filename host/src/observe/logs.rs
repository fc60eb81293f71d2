//! Logging: one line for each change of state, never one per request unless asked.

use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For a terminal.
    Text,
    /// One JSON document a line.
    Json,
}

/// What is logged unless `RUST_LOG` says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Changes of state, warnings and errors.
    Usual,
    /// Errors alone: the program itself prints what happens.
    Narrated,
}

/// Starts logging to standard error. On a terminal it has colours, unless `NO_COLOR` is set
/// (<https://no-color.org>). `RUST_LOG` narrows or widens it, as levels by target:
/// `info,corral_host=debug`; the default is `level`.
///
/// A second call in a process changes nothing.
pub fn start(format: LogFormat, level: Level) {
    let usual = match level {
        Level::Usual => "info,sqlx=warn",
        Level::Narrated => "error",
    };
    let wanted = std::env::var("RUST_LOG").unwrap_or_default();
    let (filter, refused) = filter(&wanted, usual);
    let has_colours = std::io::stderr().is_terminal() && !wants_no_color();
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(has_colours)
        .with_writer(move || OneLine { out: std::io::stderr(), has_colours });
    let registry = tracing_subscriber::registry().with(filter);
    let _already_started = match format {
        LogFormat::Text => registry.with(lines.with_target(false)).try_init(),
        LogFormat::Json => registry.with(lines.json()).try_init(),
    };
    if let Some(refused) = refused {
        // An error, so that it is seen under every usual level.
        tracing::error!(
            "RUST_LOG is ignored: `{refused}` is no level and no target=level, \
             as in RUST_LOG=info,corral_host=debug"
        );
    }
}

/// The levels that `wanted` asks for, or `usual` if it asks for none; and the part of `wanted` that
/// can't be read, if there is one: then `usual` counts too.
fn filter(wanted: &str, usual: &str) -> (Targets, Option<String>) {
    let parts: Vec<_> = wanted.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    // A bracket begins a filter by spans, which `Targets` would take for a name.
    let is_read = |part: &str| !part.contains('[') && part.parse::<Targets>().is_ok();
    let refused = parts.iter().find(|part| !is_read(part)).map(|part| (*part).to_owned());
    let asked = match parts.is_empty() || refused.is_some() {
        true => usual.to_owned(),
        false => parts.join(","),
    };
    (asked.parse().unwrap_or_default(), refused)
}

/// Writes each event as one line. Some events hold what a policy, a database or a client says, and
/// that must neither look like another event nor steer a terminal.
struct OneLine<W> {
    out: W,
    /// Whether the formatter writes colours. They are escapes, which pass then; the formatter
    /// itself lets none of a field's through.
    has_colours: bool,
}

impl<W: Write> Write for OneLine<W> {
    /// The formatter writes an event whole.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let is_meant = |c: char| !c.is_control() || (self.has_colours && c == '\u{1b}');
        if line.chars().all(is_meant) {
            self.out.write_all(event)?;
            return Ok(event.len());
        }
        let mut escaped = String::with_capacity(event.len() + 16);
        for c in line.chars() {
            match is_meant(c) {
                true => escaped.push(c),
                false => escaped.extend(c.escape_default()),
            }
        }
        escaped.push('\n');
        self.out.write_all(escaped.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn wants_no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| value != OsStr::new(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(has_colours: bool, event: &str) -> String {
        let mut lines = OneLine { out: Vec::new(), has_colours };
        lines.write_all(event.as_bytes()).unwrap();
        String::from_utf8(lines.out).unwrap()
    }

    #[test]
    fn what_rust_log_asks_for_counts_as_a_whole_or_not_at_all() {
        let usual = "info,sqlx=warn";
        let of = |levels: &str| levels.parse::<Targets>().unwrap();
        for (wanted, counts, refused) in [
            ("", usual, None),
            (" , ", usual, None),
            ("info,", "info", None),
            ("warn, corral_host=debug", "warn,corral_host=debug", None),
            ("info,corral_host=loud", usual, Some("corral_host=loud")),
            ("info,corral_host[read]=debug", usual, Some("corral_host[read]=debug")),
        ] {
            let expected = (of(counts), refused.map(str::to_owned));
            assert_eq!(filter(wanted, usual), expected, "{wanted:?}");
        }
    }

    #[test]
    fn an_event_is_one_line_whatever_somebody_else_says_in_it() {
        let forged = "WARN refused: it\n2026-01-01 INFO \u{1b}[2Jserving\r\u{9b}31m\u{7}\n";
        let expected = "WARN refused: it\\n2026-01-01 INFO \\u{1b}[2Jserving\\r\\u{9b}31m\\u{7}\n";
        assert_eq!(written(false, forged), expected);
        let plain = "INFO serving listen=\"127.0.0.1:1\" straße\n";
        assert_eq!(written(false, plain), plain, "the control");
    }

    #[test]
    fn colours_of_the_formatter_are_kept_on_a_terminal_and_line_ends_are_not() {
        assert_eq!(
            written(true, "\u{1b}[32mINFO\u{1b}[0m a\nb\n"),
            "\u{1b}[32mINFO\u{1b}[0m a\\nb\n"
        );
    }
}
