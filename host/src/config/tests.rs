mod broken;
mod broken_writes;
mod environment;
mod example;
mod whole;

use super::{Config, ConfigErrors, Environment};

/// Parses as `etc/corral.toml`, without an environment.
fn parse(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse(text, "etc/corral.toml", &Environment::default())
}

/// The problems of a text, one line each, without the file's name.
fn problems_of(text: &str) -> Vec<String> {
    let errors = parse(text).expect_err("a problem");
    errors.problems().iter().map(|p| p.to_string().replace("etc/corral.toml", "")).collect()
}
