//! `corral policy check`

use std::path::Path;

use anyhow::{Context, anyhow};
use serde_json::json;

use crate::config::{Config, Environment};
use crate::policy::Limits;
use crate::policy::prove::gate::{self, Conditions, Passport, Rejection};
use crate::service::conditions;

use crate::cli::cache::engine;
use crate::cli::{Failed, load, say};

/// A little of everything that a configuration can have.
const SHOP: &str = r#"
origin.url = "sqlite:shop.db"
query.enabled = true

[entity."user.profile"]
params = ["id:int8"]
read = "SELECT * FROM users WHERE id = $1"
ttl = "5m"
stale_while_revalidate = "1m"
stale_if_error = "1h"
tags = ["user:{id}", "team:{row.team_id}"]
write.rename = { params = ["id:int8", "name:text"], sql = "UPDATE", touches = ["user.profile(id)"] }
write.move = { params = ["id:int8"], sql = "UPDATE", touches = ["tag team:{row.team_id}", "tag user:{id}"] }

[entity."order.list"]
params = ["user:int8", "page:int4"]
read = "SELECT * FROM orders WHERE user_id = $1"
rows = "many"
ttl = "10s"
tags = ["user:{user}"]
write.place = { params = ["user:int8"], sql = "INSERT", then = "write-through", touches = ["tag user:{user}"] }

[entity.catalogue]
read = "SELECT * FROM products"
rows = "many"
ttl = "1m"
"#;

pub(super) fn run(file: &Path, config: Option<&Path>, as_json: bool) -> Result<(), Failed> {
    let config = configuration(config)?;
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let examined = examine(&bytes, config.policy.limits.clone(), &conditions(&config))?;
    if as_json {
        let document = match &examined {
            Ok(passport) => json!({ "passed": true, "report": passport }),
            Err(rejection) => json!({ "passed": false, "report": rejection }),
        };
        say(serde_json::to_string_pretty(&document)?);
    }
    match examined {
        Ok(_) if as_json => Ok(()),
        Ok(passport) => {
            tell(&passport);
            Ok(())
        }
        Err(rejection) if as_json => {
            Err(anyhow!("{}: refused ({})", file.display(), rejection.stage).into())
        }
        Err(rejection) => Err(anyhow!("{}: {rejection}", file.display()).into()),
    }
}

/// The configuration in this file, or a small shop's if there is none.
pub(super) fn configuration(file: Option<&Path>) -> Result<Config, Failed> {
    match file {
        Some(path) => load(path),
        None => Ok(Config::parse(SHOP, "the example configuration", &Environment::default())?),
    }
}

/// Runs the gate. A rejection is an answer.
pub(super) fn examine(
    bytes: &[u8],
    limits: Limits,
    conditions: &Conditions,
) -> Result<Result<Passport, Rejection>, Failed> {
    let engine = engine(limits)?;
    Ok(gate::examine(&engine, bytes, conditions).map(|passed| passed.report().clone()))
}

fn tell(passport: &Passport) {
    let Passport { name, version, bytes, decisions, explored, slowest, .. } = passport;
    let Passport { took_ms, explored_ms, .. } = passport;
    say(format_args!("passed: {name}@{version}, {bytes} bytes, in {took_ms} ms"));
    say(format_args!("{explored}; {decisions} decisions in {explored_ms} ms"));
    say(format_args!(
        "slowest calls: plan {} µs, row-tags {} µs, step {} µs, invalidate {} µs",
        slowest.plan_us, slowest.row_tags_us, slowest.step_us, slowest.invalidate_us
    ));
    say(format_args!("memory: {} KiB", passport.memory_bytes >> 10));
}
