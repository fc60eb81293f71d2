//! A sound policy in few lines, and a way to change one of its answers.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::super::{Conditions, Finding, QueryConditions, Rejection};
use super::{Learned, explore};
use crate::config::{Config, Environment};
use crate::policy::{
    Action, Argument, Change, ColumnValue, Decider, Event, Failure, Lifetime, Memo, Moment, Plan,
    Refusal, Request, Row, Scope, Sighting, Subject, Target, Trap, Turn, Way,
};

/// Long enough for any machine that runs tests.
pub(super) const LONG: Duration = Duration::from_secs(60);

pub(super) const LOADING: u32 = 1;
pub(super) const FILLING: u32 = 2;

type Stepped = Result<Turn, Trap>;
type Step = dyn Fn(Memo, Moment, Event, Turn) -> Stepped + Send + Sync;
type Naming = dyn Fn(&Request, Plan) -> Plan + Send + Sync;
type Tagging = dyn Fn(&[Row], Vec<String>) -> Vec<String> + Send + Sync;
type Touching = dyn Fn(&Change, Vec<Target>) -> Vec<Target> + Send + Sync;

/// The sound policy with one answer changed.
pub(super) struct Bent {
    pub(super) step: Box<Step>,
    pub(super) plan: Box<Naming>,
    pub(super) row_tags: Box<Tagging>,
    pub(super) invalidate: Box<Touching>,
}

impl Default for Bent {
    fn default() -> Self {
        Self {
            step: Box::new(|_, _, _, turn| Ok(turn)),
            plan: Box::new(|_, plan| plan),
            row_tags: Box::new(|_, tags| tags),
            invalidate: Box::new(|_, targets| targets),
        }
    }
}

impl Bent {
    /// Other actions; where `bend` returns `None`, the sound policy's.
    pub(super) fn acting(
        bend: impl Fn(Memo, Moment, Event, Action) -> Option<Action> + Send + Sync + 'static,
    ) -> Self {
        Self::stepping(move |memo, moment, event, turn| {
            let action = bend(memo, moment, event, turn.action).unwrap_or(turn.action);
            Ok(Turn { action, ..turn })
        })
    }

    pub(super) fn stepping(
        step: impl Fn(Memo, Moment, Event, Turn) -> Stepped + Send + Sync + 'static,
    ) -> Self {
        Self { step: Box::new(step), ..Self::default() }
    }

    pub(super) fn tagging(
        row_tags: impl Fn(&[Row], Vec<String>) -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        Self { row_tags: Box::new(row_tags), ..Self::default() }
    }

    pub(super) fn touching(
        invalidate: impl Fn(&Change, Vec<Target>) -> Vec<Target> + Send + Sync + 'static,
    ) -> Self {
        Self { invalidate: Box::new(invalidate), ..Self::default() }
    }
}

impl Decider for Bent {
    fn plan(&self, request: &Request) -> Result<Result<Plan, Refusal>, Trap> {
        let (entity, tags) = match &request.subject {
            Subject::Query(query) => (value(Some(&format!("{query:?}"))), query.tags.clone()),
            Subject::Entity(name) => (name.clone(), tags(name, &request.arguments)),
        };
        let terms = u32::from(entity == "orders");
        let row_columns = if entity == "user.profile" { vec!["team".into()] } else { Vec::new() };
        let memo = Memo { phase: 0, since_ms: 0, terms, note: 0 };
        let key = format!("{entity}:{}", named(&request.arguments));
        Ok(Ok((self.plan)(request, Plan { key, tags, row_columns, memo })))
    }

    fn row_tags(&self, _: &Request, rows: &[Row]) -> Result<Result<Vec<String>, Refusal>, Trap> {
        let tag = |row: &Row| Some(format!("team:{}", value(row.first()?.as_deref())));
        Ok(Ok((self.row_tags)(rows, rows.iter().filter_map(tag).collect())))
    }

    fn step(&self, memo: Memo, moment: Moment, event: Event) -> Stepped {
        (self.step)(memo, moment, event, step(memo, moment, event))
    }

    fn invalidate(&self, change: &Change) -> Result<Vec<Target>, Trap> {
        let mut scopes = Vec::new();
        if let Change::Written(written) = change
            && let Some(user) = written.arguments.iter().find(|given| given.name == "user")
        {
            scopes.push(Scope::Tag(format!("user:{}", value(user.value.as_deref()))));
            let arguments = vec![Argument { name: "id".into(), value: user.value.clone() }];
            let subject = Subject::Entity("user.profile".into());
            scopes.push(Scope::Read(Request { subject, arguments }));
            let sides = written.rows.iter().flat_map(|row| [&row.before, &row.after]);
            for column in sides.flatten().filter(|column| column.name == "team") {
                let team = match &column.value {
                    ColumnValue::Unknown => continue,
                    ColumnValue::Null => None,
                    ColumnValue::Text(text) => Some(text.as_str()),
                };
                scopes.push(Scope::Tag(format!("team:{}", value(team))));
            }
        }
        let targets = scopes.into_iter().map(|scope| Target { scope, way: Way::Removed });
        Ok((self.invalidate)(change, targets.collect()))
    }
}

fn step(memo: Memo, moment: Moment, event: Event) -> Turn {
    let to = |phase, action| Turn { memo: Memo { phase, ..memo }, action };
    match event {
        Event::Absent | Event::Bypassed | Event::Waited => to(0, Action::Claim(1_000)),
        Event::Found(Sighting { fresh_ms: 1.., .. }) => to(0, Action::Answer),
        Event::Found(_) if memo.note > 1 => to(0, Action::LoadUncached),
        Event::Found(_) => {
            let memo = Memo { note: memo.note + 1, ..memo };
            Turn { memo, action: Action::Claim(1_000) }
        }
        Event::StoreUnavailable if memo.phase == FILLING => to(0, Action::Answer),
        Event::StoreUnavailable => to(0, Action::LoadUncached),
        Event::LeaseGranted => to(LOADING, Action::Load),
        Event::LeaseHeld(_) if moment.left_ms == 0 => to(0, Action::LoadUncached),
        Event::LeaseHeld(held_ms) => to(0, Action::Wait(held_ms.clamp(1, moment.left_ms))),
        Event::Loaded(_) if memo.phase == LOADING => {
            let fresh_ms = 500 + (moment.entropy % 1_000) as u32;
            to(FILLING, Action::Fill(Lifetime { fresh_ms, stale_ms: 0, refresh_ms: fresh_ms }))
        }
        Event::Loaded(_) | Event::Filled | Event::FillRejected => to(0, Action::Answer),
        Event::LoadFailed(Failure { at_hand: Some(_), .. }) => to(0, Action::Answer),
        Event::LoadFailed(Failure { at_hand: None, .. }) => to(0, Action::Fail),
    }
}

fn tags(entity: &str, arguments: &[Argument]) -> Vec<String> {
    let user = match entity {
        "user.profile" => "id",
        "orders" => "user",
        _ => return Vec::new(),
    };
    let user = arguments.iter().find(|argument| argument.name == user);
    user.map(|user| format!("user:{}", value(user.value.as_deref()))).into_iter().collect()
}

fn named(arguments: &[Argument]) -> String {
    let mut sorted: Vec<_> = arguments.iter().map(|a| (&a.name, &a.value)).collect();
    sorted.sort();
    value(Some(&format!("{sorted:?}")))
}

fn value(text: Option<&str>) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// A profile with the tags of its user and its team, orders with that of the user, a catalogue.
const SHOP: &str = r#"
origin.url = "sqlite:shop.db"
[entity.catalogue]
read = "SELECT * FROM products"
ttl = "1m"
stale_while_revalidate = "10s"
stale_if_error = "10m"
[entity.orders]
params = ["user:text", "day:text"]
read = "SELECT * FROM orders WHERE user_id = $1 AND day = $2"
ttl = "1m"
stale_while_revalidate = "10s"
stale_if_error = "10m"
tags = ["user:{user}"]
[entity."user.profile"]
params = ["id:text"]
read = "SELECT * FROM users WHERE id = $1"
ttl = "1m"
stale_while_revalidate = "10s"
stale_if_error = "10m"
tags = ["user:{id}", "team:{row.team}"]
[entity."user.profile".write.rename]
params = ["user:text", "name:text"]
sql = "UPDATE"
touches = ["user.profile(user)", "tag user:{user}", "tag team:{row.team}"]
"#;

pub(super) fn conditions() -> Conditions {
    let config = Config::parse(SHOP, "shop", &Environment::default()).unwrap();
    let query = QueryConditions { ttl_ms: 60_000, deadline: Duration::from_secs(2) };
    Conditions { query: Some(query), ..Conditions::of(config.for_policy()) }
}

pub(super) fn explored(policy: &Bent) -> Result<Learned, Rejection> {
    explore([policy, policy], &conditions(), LONG)
}

/// The only kind of finding: its message, and the entities that show it.
pub(super) fn found(policy: &Bent) -> (String, Vec<Finding>) {
    let findings = explored(policy).unwrap_err().findings;
    let message = findings[0].message.clone();
    assert!(findings.iter().all(|f| f.message == message), "{findings:#?}");
    (message, findings)
}

/// `event → action` for each move.
pub(super) fn moves(finding: &Finding) -> Vec<String> {
    finding.sequence.iter().map(|turn| format!("{} → {}", turn.event, turn.action)).collect()
}
