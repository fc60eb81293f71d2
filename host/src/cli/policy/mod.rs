//! `corral policy new / build / check / test / show / diff / shadow / push / rollout / settings / rollback`

mod build;
mod diff;
mod gate;
mod new;
mod push;
mod rollout;
mod shadow;
mod show;
mod test;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Subcommand;

use crate::policy::compile_builtin;

use super::Failed;
use super::client::Host;

#[derive(Subcommand)]
pub(super) enum PolicyCommand {
    /// Writes a small, complete project of a policy: source, test, contract.
    New(new::New),
    /// Builds a policy's project into a component, and writes it if it passes the gate.
    #[command(after_help = "Examples:\n  corral policy build my-policy --out policy.wasm\n  \
                            corral policy build core --check host/default-policy.wasm")]
    Build {
        /// The project's folder.
        #[arg(default_value = ".")]
        path: PathBuf,
        /// Where the component goes.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// The configuration whose settings, entities and limits it is examined with; without it,
        /// those of a small shop, with the limits of its language.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Writes no component: fails if this component is not what the sources give. A crate is built
        /// again by the compiler that built the component; with another compiler or language at
        /// hand, only the sources are compared.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "config"])]
        check: Option<PathBuf>,
    },
    /// Runs the gate on a component, and says what it found.
    #[command(after_help = "Examples:\n  corral policy check policy.wasm\n  \
                            corral policy check policy.wasm --config corral.toml --json")]
    Check {
        /// The component, or a core module.
        file: PathBuf,
        /// The configuration whose settings, entities and limits it is examined with; without it,
        /// those of a small shop.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// One JSON document instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Tests whether a component does what every good policy does, sentence by sentence.
    Test(test::Test),
    /// Describes a component, or the generations of a running host.
    #[command(after_help = "Examples:\n  corral policy show policy.wasm\n  \
                            corral policy show policy.wasm --config corral.toml\n  \
                            corral policy show --url http://127.0.0.1:7071")]
    Show {
        /// A component; without it, a running host is asked.
        file: Option<PathBuf>,
        /// The configuration whose settings and entities the gate uses.
        #[arg(long, value_name = "FILE", requires = "file")]
        config: Option<PathBuf>,
        #[command(flatten)]
        host: Host,
    },
    /// Compares the decisions of two policies: keys, tags, lifetimes, flights, invalidations.
    #[command(
        after_help = "Examples:\n  corral policy diff builtin policy.wasm --config corral.toml\n  \
                            corral policy diff builtin builtin --new-settings '{\"jitter\": 0.5}'\n  \
                            corral policy diff builtin policy.wasm --trace web.trace.xz --rate 500 \
                            --entity product.page --cost-ms 3"
    )]
    Diff(Box<diff::Diff>),
    /// Lets a component be asked beside the policy in force of a running host, without effect.
    #[command(after_help = "Examples:\n  corral policy shadow policy.wasm --sample 0.1\n  \
                            corral policy shadow --report\n  corral policy shadow --end")]
    Shadow(shadow::ShadowCommand),
    /// Puts a component in force on a running host.
    #[command(
        after_help = "Examples:\n  corral policy push policy.wasm --url http://127.0.0.1:7071\n  \
                            corral policy push renames.wasm --learn       # on every host, then\n  \
                            corral policy push renames.wasm --allow-rename"
    )]
    Push {
        /// The component, or a core module.
        file: PathBuf,
        /// Lets it give reads other keys: what is stored under the old ones goes cold.
        #[arg(long)]
        allow_rename: bool,
        /// Only lets invalidations cover the keys that it gives reads; the policy in force stays.
        /// Every host has to know these keys before any host fills under them.
        #[arg(long, conflicts_with = "allow_rename")]
        learn: bool,
        #[command(flatten)]
        host: Host,
    },
    /// Puts a component in force on all hosts of a fleet, or ends that.
    #[command(after_help = rollout::EXAMPLES)]
    Rollout(Box<rollout::RolloutCommand>),
    /// Shows the settings in force on a running host, or puts others in force.
    #[command(after_help = "Examples:\n  corral policy settings --url http://127.0.0.1:7071\n  \
                            corral policy settings settings.json --url http://127.0.0.1:7071")]
    Settings {
        /// A JSON object, as `[policy.settings]` would be: all settings, not only changed ones.
        file: Option<PathBuf>,
        /// Lets them give reads other keys: what is stored under the old ones goes cold.
        #[arg(long, requires = "file")]
        allow_rename: bool,
        #[command(flatten)]
        host: Host,
    },
    /// Compiles the built-in policy for the package of a release; `tests/dist` does it.
    #[command(hide = true)]
    Compile {
        /// The processor and system: `x86_64-unknown-linux-gnu`.
        target: String,
        /// Where the native code goes.
        out: PathBuf,
    },
    /// Puts the previous generation in force again.
    #[command(after_help = "Example:\n  corral policy rollback --url http://127.0.0.1:7071")]
    Rollback {
        #[command(flatten)]
        host: Host,
    },
}

pub(super) async fn run(command: PolicyCommand) -> Result<(), Failed> {
    match command {
        PolicyCommand::New(command) => new::run(command),
        PolicyCommand::Check { file, config, json } => gate::run(&file, config.as_deref(), json),
        PolicyCommand::Test(command) => test::run(&command),
        PolicyCommand::Build { path, check: Some(component), .. } => {
            build::check(&path, &component)
        }
        PolicyCommand::Build { path, out, config, check: None } => {
            build::run(&path, out.as_deref(), config.as_deref())
        }
        PolicyCommand::Show { file: Some(file), config, .. } => {
            show::file(&file, config.as_deref())
        }
        PolicyCommand::Show { file: None, host, .. } => show::host("/admin/policy", host).await,
        PolicyCommand::Diff(diff) => diff::run(&diff),
        PolicyCommand::Shadow(shadow) => shadow::run(shadow).await,
        PolicyCommand::Push { file, learn: true, host, .. } => push::learn(&file, host).await,
        PolicyCommand::Push { file, allow_rename, host, .. } => {
            push::policy(&file, allow_rename, host).await
        }
        PolicyCommand::Rollout(command) => rollout::run(*command).await,
        PolicyCommand::Settings { file: Some(file), allow_rename, host } => {
            push::settings(&file, allow_rename, host).await
        }
        PolicyCommand::Settings { file: None, host, .. } => {
            show::host("/admin/policy/settings", host).await
        }
        PolicyCommand::Compile { target, out } => compile(&target, &out),
        PolicyCommand::Rollback { host } => push::rollback(host).await,
    }
}

fn compile(target: &str, out: &Path) -> Result<(), Failed> {
    let code = compile_builtin(target).map_err(|error| anyhow!("{target}: {error:#}"))?;
    std::fs::write(out, code).with_context(|| out.display().to_string())?;
    Ok(())
}
