//! `corral demo`: the whole playbook on a seeded shop, each claim measured while you watch.

mod report;
mod shop;
mod steps;
mod switch;

use std::sync::Arc;

use anyhow::anyhow;

use crate::config::Secret;
use crate::service::{Corral, connect_store};

use super::{Failed, say, serve};
use shop::Shop;
use steps::DemoRun;
use switch::Switch;

/// What `corral demo` takes.
#[derive(clap::Args)]
pub(super) struct Demo {
    /// Ends after the last step instead of serving.
    #[arg(long)]
    once: bool,
    /// Prints the figures as one JSON document, and nothing else.
    #[arg(long)]
    json: bool,
    /// A Redis instead of memory.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// A Postgres instead of SQLite; the demo works in a schema of its own and removes it.
    #[arg(long, value_name = "URL")]
    origin: Option<String>,
}

pub(super) async fn run(demo: Demo) -> Result<(), Failed> {
    let narrator = Narrator { silent: demo.json };
    let shop = Shop::choose(demo.origin.as_deref())?;
    let config = shop.config(demo.store.map(Secret))?;
    narrator.tell(format_args!("Seeding a shop in {} …", shop.kind()));
    shop.seed().await?;
    let shown = show(demo.once, &narrator, config).await;
    shop.remove().await?;
    shown
}

async fn show(
    once: bool,
    narrator: &Narrator,
    config: crate::config::Config,
) -> Result<(), Failed> {
    let switch = Arc::new(Switch::new(connect_store(&config)?, config.store.timeout));
    let corral = Corral::start_with(config, Arc::clone(&switch) as _).await?;
    let stage = DemoRun { corral: corral.clone(), switch, narrator };
    let report = tokio::select! {
        report = stage.play() => report?,
        // Ends the demo early; its schema is removed too.
        _interrupted = tokio::signal::ctrl_c() => return Err(Failed::Run(anyhow!("interrupted"))),
    };
    if narrator.silent {
        say(serde_json::to_string(&report)?);
    }
    let broken = report.broken();
    if !broken.is_empty() {
        return Err(Failed::Run(anyhow!("the demo did not hold: {}", broken.join("; "))));
    }
    if once {
        corral.shutdown(corral.config().grace).await;
        return Ok(());
    }
    narrator.tell(format_args!(
        "\nServing at http://{listen}, admin at http://{admin}. Try:\n\
         \x20 curl -i 'http://{listen}/read/product.page?id=42'\n\
         \x20 curl -i http://{listen}/write/user.profile/rename -H 'content-type: application/json' \
         -d '{{\"id\": 7, \"name\": \"Ada\"}}'\n\
         \x20 curl -s http://{admin}/metrics\nCtrl-C ends.",
        listen = corral.config().listen,
        admin = corral.config().admin.listen,
    ));
    serve::serve(corral).await
}

/// Prints what happens, unless the output is for a program.
struct Narrator {
    silent: bool,
}

impl Narrator {
    fn tell(&self, line: std::fmt::Arguments<'_>) {
        if !self.silent {
            say(line);
        }
    }
}
