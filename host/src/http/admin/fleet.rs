//! `/admin/fleet` and `/admin/policy/rollout`: the hosts that are alive, and one policy for all of them.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::service::{RolloutError, RolloutRequest};
use crate::store::StoreError;

use super::super::access::AccessScope;
use super::super::answered::{Answered, of_json};
use super::super::problem::Problem;
use super::super::query_string;
use super::super::route::HttpCall;
use super::component;

/// How long canaries are watched unless the request says otherwise: as long as probation lasts.
const WATCH: Duration = Duration::from_secs(60);

/// The longest time for which canaries are watched.
const WATCH_AT_MOST: Duration = Duration::from_secs(24 * 3600);

/// `GET /admin/fleet`
pub(super) async fn fleet(call: HttpCall<'_>) -> Result<Answered, Problem> {
    call.check(AccessScope::Admin)?;
    of_json(&call.face.corral.fleet().status().await.map_err(RolloutError::from)?)
}

/// `PUT /admin/policy/rollout?canary=10&for=5m` with a component, or a core module.
pub(super) async fn begin(call: HttpCall<'_>) -> Result<Answered, Problem> {
    call.check(AccessScope::Admin)?;
    let asked = Asked::read(call.query)?;
    let bytes = component(call.face, call.headers, call.body).await?;
    let request = RolloutRequest {
        component: bytes.as_ref().into(),
        settings: asked.settings,
        canary_percent: asked.canary_percent,
        watch: asked.watch.unwrap_or(WATCH),
        allow_rename: asked.allow_rename,
    };
    of_json(&call.face.corral.fleet().begin(request).await?)
}

/// `DELETE /admin/policy/rollout` brings all hosts back; with `?forget` nothing is under way, and what the
/// fleet runs is forgotten.
pub(super) async fn end(call: HttpCall<'_>) -> Result<Answered, Problem> {
    call.check(AccessScope::Admin)?;
    let fleet = call.face.corral.fleet();
    match call.query {
        "" => of_json(&json!({ "rollout": fleet.stop().await? })),
        "forget" => of_json(&json!({ "forgotten": fleet.forget().await? })),
        _ => Err(Problem::malformed("this path takes ?forget, or nothing")),
    }
}

/// The query string of a rollout.
#[derive(Default)]
struct Asked {
    settings: Option<Map<String, Value>>,
    canary_percent: Option<u8>,
    watch: Option<Duration>,
    allow_rename: bool,
}

impl Asked {
    fn read(query: &str) -> Result<Self, Problem> {
        let mut asked = Self::default();
        for (name, value) in query_string::pairs(query)? {
            match (name.as_ref(), value.as_ref()) {
                ("canary", percent) => asked.canary_percent = Some(canary(percent)?),
                ("for", time) => asked.watch = Some(watch(time)?),
                ("settings", settings) => asked.settings = Some(parsed(settings)?),
                ("rename", "allow") => asked.allow_rename = true,
                _ => {
                    let what = "this path takes ?canary= (in percent), ?for= (a time), ?settings= (a \
                                JSON object) and ?rename=allow";
                    return Err(Problem::malformed(what));
                }
            }
        }
        if asked.watch.is_some() && asked.canary_percent.is_none() {
            return Err(Problem::malformed(
                "for= needs canary=: it says how long canaries are watched",
            ));
        }
        Ok(asked)
    }
}

fn canary(text: &str) -> Result<u8, Problem> {
    let percent = text.parse().ok().filter(|percent| (1..=100).contains(percent));
    percent.ok_or_else(|| Problem::malformed("canary= takes whole percents from 1 to 100"))
}

fn watch(text: &str) -> Result<Duration, Problem> {
    let time = humantime::parse_duration(text).ok().filter(|time| *time <= WATCH_AT_MOST);
    time.ok_or_else(|| Problem::malformed("for= takes a time of a day at most, such as 5m"))
}

fn parsed(text: &str) -> Result<Map<String, Value>, Problem> {
    let settings = serde_json::from_str(text);
    settings.map_err(|error| Problem::malformed(format!("settings= is no JSON object: {error}")))
}

impl From<RolloutError> for Problem {
    fn from(error: RolloutError) -> Self {
        let detail = error.to_string();
        match error {
            RolloutError::Candidate(error) => error.into(),
            RolloutError::UnderWay(rollout) => {
                let title = "Another rollout is under way";
                Self::new(StatusCode::CONFLICT, "rollout-under-way", title, detail)
                    .with("rollout", json!(rollout))
            }
            RolloutError::Unable(_) => {
                let title = "Not every host takes part in rollouts";
                Self::new(StatusCode::CONFLICT, "fleet-too-old", title, detail)
            }
            RolloutError::NotUnderWay => {
                Self::new(StatusCode::NOT_FOUND, "no-rollout", "There is no rollout", detail)
            }
            RolloutError::Store(error) => unavailable(&error),
        }
    }
}

fn unavailable(error: &StoreError) -> Problem {
    // The store's own words go to the log: they may name an address.
    tracing::debug!(%error, "the fleet's record can't be read or written");
    let detail = "hosts know each other through the store, which does not answer or is not trusted";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store-unavailable", "The store is away", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_string_says_on_which_hosts_first_and_for_how_long() {
        let asked =
            Asked::read("canary=10&for=5m&rename=allow&settings=%7B%22jitter%22%3A0.1%7D").unwrap();
        assert_eq!((asked.canary_percent, asked.watch), (Some(10), Some(Duration::from_secs(300))));
        assert!(asked.allow_rename);
        assert_eq!(asked.settings.unwrap()["jitter"], 0.1);
        assert!(Asked::read("").unwrap().canary_percent.is_none());
    }

    #[test]
    fn a_query_string_that_says_nothing_sensible_is_refused() {
        for query in [
            "canary=0",
            "canary=101",
            "canary=ten",
            "for=5m",
            "canary=5&for=2days",
            "x=1",
            "settings=3",
        ] {
            assert!(Asked::read(query).is_err(), "{query}");
        }
    }
}
