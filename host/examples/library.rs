//! Corral inside a program of your own: a read bound to a closure instead of SQL.
//!
//! `cargo run -p corral-host --example library`; `cargo test` runs it too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, ensure};
use corral_host::Corral;
use corral_host::config::{Config, Environment};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::JoinSet;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Forecast {
    city: String,
    celsius: f64,
}

/// An entity without a statement: the program loads its values. Add `store.url` to share them.
const CONFIG: &str = r#"
[entity.forecast]
params = ["city:text"]
ttl = "5m"
stale_if_error = "1h"
tags = ["forecasts"]
"#;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let corral =
        Corral::start(Config::parse(CONFIG, "library.toml", &Environment::default())?).await?;
    let asked = Arc::new(AtomicU32::new(0));

    let mut readers = JoinSet::new();
    for _ in 0..100 {
        let (corral, asked) = (corral.clone(), Arc::clone(&asked));
        readers.spawn(async move { forecast(&corral, &asked, "Oslo").await });
    }
    while let Some(forecast) = readers.join_next().await {
        let forecast = forecast??.context("there is no such city")?;
        ensure!(forecast == Forecast { city: "Oslo".into(), celsius: -3.5 });
    }
    ensure!(asked.load(Ordering::Relaxed) == 1, "100 readers of one cold key cost one load");

    corral.invalidate(&[], &["forecasts".into()], &[]).await?;
    forecast(&corral, &asked, "Oslo").await?;
    ensure!(asked.load(Ordering::Relaxed) == 2, "what was invalidated is loaded again");

    ensure!(forecast(&corral, &asked, "Atlantis").await?.is_none());
    ensure!(forecast(&corral, &asked, "Atlantis").await?.is_none());
    ensure!(asked.load(Ordering::Relaxed) == 3, "that there is no such city is remembered");

    corral.shutdown(corral.config().grace).await;
    Ok(())
}

async fn forecast(
    corral: &Corral,
    asked: &Arc<AtomicU32>,
    city: &'static str,
) -> anyhow::Result<Option<Forecast>> {
    let arguments = json!({ "city": city });
    let arguments = arguments.as_object().context("an object")?;
    let asked = Arc::clone(asked);
    let load = move || {
        asked.fetch_add(1, Ordering::Relaxed);
        // Here a program of yours would ask a slow service.
        let forecast = (city != "Atlantis").then(|| Forecast { city: city.into(), celsius: -3.5 });
        async move { anyhow::Ok(forecast) }
    };
    Ok(corral.get_or_load("forecast", arguments, load).await?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_the_example_says_holds() {
        super::main().expect("the example ran to its end");
    }
}
