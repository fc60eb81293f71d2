//! `corral policy new`

use std::path::PathBuf;

use crate::cli::{Failed, say};
use crate::policy::build::{self, Language};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  corral policy new my-policy --lang rust\n  \
                        corral policy new my-policy --lang js --path policies/mine")]
pub(in crate::cli) struct New {
    /// The policy's name: lower-case letters, digits and `-`.
    name: String,
    /// The language it is written in: rust, js or python.
    #[arg(long, value_parser = language)]
    lang: Language,
    /// The project's folder; without it, a folder of the policy's name.
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

pub(super) fn run(New { name, lang, path }: New) -> Result<(), Failed> {
    let path = path.unwrap_or_else(|| PathBuf::from(&name));
    build::new(&name, lang, &path).map_err(|error| Failed::Usage(error.into()))?;
    let path = path.display();
    say(format_args!("{path}: a policy in {}; its README.md says how to go on", lang.name()));
    say(format_args!("next: corral policy build {path}"));
    Ok(())
}

fn language(name: &str) -> Result<Language, String> {
    let known = || Language::ALL.map(Language::name).join(", ");
    let found = Language::ALL.into_iter().find(|language| language.name() == name);
    found.ok_or_else(|| format!("known are {}", known()))
}
