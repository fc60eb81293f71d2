//! Logging: one line for each change of state, never one per request unless asked.

use std::ffi::OsStr;
use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For a terminal.
    Text,
    /// One JSON document a line.
    Json,
}

/// Starts logging to standard error. On a terminal it has colours, unless `NO_COLOR` is set
/// (<https://no-color.org>). `RUST_LOG` narrows or widens it; the default is `info`.
///
/// Called twice in a process, the second call changes nothing.
pub fn start(format: LogFormat) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal() && !wants_no_color())
        .with_writer(std::io::stderr);
    let _already_started = match format {
        LogFormat::Text => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
}

fn wants_no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| value != OsStr::new(""))
}
