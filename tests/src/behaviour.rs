//! How the default policy behaves, whatever it runs in: one suite of named checks, and a comparison
//! of two policies over generated calls.

mod flights;
mod generated;
mod invalidation;
mod keys;
mod lifetimes;

use anyhow::{Context, Result, bail, ensure};
use corral_host::policy::gate::EntityShape;
use corral_host::policy::{
    Action, Argument, Event, Memo, Moment, Plan, Policy, Query, Request, Sighting, Subject,
};

pub use generated::first_difference;

/// What the policy under test is told.
pub const SETTINGS: &str = r#"{
    "namespace": "v1", "jitter": 0.2, "early_refresh": 1.0, "lease_ms": 1000,
    "query": { "ttl_ms": 60000 },
    "entities": {
        "user.profile": {
            "params": ["id"], "ttl_ms": 300000, "stale_while_revalidate_ms": 60000,
            "stale_if_error_ms": 3600000, "negative_ttl_ms": 30000,
            "tags": ["user:{id}", "team:{row.team_id}"],
            "writes": {
                "rename": {
                    "params": ["id", "name"], "then": "invalidate",
                    "touches": ["user.profile(id)", "tag user:{id}"]
                },
                "move": {
                    "params": ["id", "team"], "then": "write-through",
                    "touches": ["user.profile(id)", "tag team:{row.team_id}"]
                }
            }
        },
        "order.list": { "params": ["user", "page"], "ttl_ms": 60000, "tags": ["user:{user}"] },
        "catalogue": { "params": [], "ttl_ms": 10000 }
    }
}"#;

/// The entities of [`SETTINGS`], for the gate.
#[must_use]
pub fn entities() -> Vec<EntityShape> {
    vec![
        EntityShape::new("user.profile", &["id"]),
        EntityShape::new("order.list", &["user", "page"]),
        EntityShape::new("catalogue", &[]),
    ]
}

/// One check: its name is the sentence it proves.
pub struct Check {
    /// The sentence.
    pub name: &'static str,
    run: fn(&dyn Policy) -> Result<()>,
}

macro_rules! checks {
    ($($module:ident: $($name:ident),+ $(,)?);+ $(;)?) => {
        /// The suite.
        pub const CHECKS: &[Check] =
            &[$($(Check { name: stringify!($name), run: $module::$name }),+),+];
    };
}

checks! {
    keys:
        a_usual_read_has_a_key_that_a_person_can_read,
        two_different_requests_never_share_a_key,
        the_order_of_arguments_makes_no_difference,
        ten_kilobytes_of_text_are_hashed,
        every_key_and_tag_is_legal,
        an_ad_hoc_query_is_named_by_statement_and_parameters,
        a_request_that_does_not_fit_is_refused_by_name;
    lifetimes:
        a_base_of_300_s_lives_240_to_360_s_uniformly,
        the_early_refresh_lies_ahead_by_a_head_start_and_an_exponential_of_the_cost,
        a_value_is_never_due_in_the_first_half_of_its_life,
        a_row_that_does_not_exist_has_the_negative_lifetime,
        the_same_entropy_gives_the_same_lifetime;
    flights:
        a_cold_read_claims_loads_fills_and_answers,
        a_fresh_value_is_answered,
        a_value_due_early_is_answered_and_refreshed,
        a_stale_value_is_answered_while_it_is_refreshed,
        a_value_stale_beyond_its_window_is_loaded,
        a_failed_load_answers_a_stale_value_within_its_window_alone,
        a_held_lease_is_waited_for_and_then_claimed,
        a_wait_ends_with_the_deadline,
        a_read_that_wants_a_fresh_value_loads_one,
        without_a_store_the_origin_is_asked_and_nothing_filled,
        a_rejected_fill_is_answered,
        a_refresh_waits_for_nobody;
    invalidation:
        a_write_removes_what_it_touches,
        a_write_through_refreshes_reads_and_removes_tags,
        a_row_that_moves_touches_where_it_was_and_where_it_is,
        a_write_that_nobody_declared_touches_nothing,
        a_tag_of_a_row_meets_the_tag_that_a_write_removes;
}

/// Runs every check, and answers how many there were.
///
/// # Errors
/// Each check that fails, by name, and why.
pub fn run_all(policy: &dyn Policy) -> Result<usize> {
    let failed: Vec<String> = CHECKS
        .iter()
        .filter_map(|check| {
            let error = (check.run)(policy).err()?;
            Some(format!("{}: {error:#}", check.name))
        })
        .collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(CHECKS.len())
}

fn entity(name: &str, arguments: &[(&str, Option<&str>)]) -> Request {
    Request { subject: Subject::Entity(name.into()), arguments: named(arguments) }
}

fn profile(id: Option<&str>) -> Request {
    entity("user.profile", &[("id", id)])
}

fn query(sql: &str, arguments: &[(&str, Option<&str>)]) -> Request {
    let query = Query { sql: sql.into(), ttl_ms: 0, tags: vec!["reports".into()] };
    Request { subject: Subject::Query(query), arguments: named(arguments) }
}

fn named(arguments: &[(&str, Option<&str>)]) -> Vec<Argument> {
    let argument = |(name, value): &(&str, Option<&str>)| Argument {
        name: (*name).into(),
        value: value.map(str::to_owned),
    };
    arguments.iter().map(argument).collect()
}

fn plan(policy: &dyn Policy, request: &Request) -> Result<Plan> {
    match policy.plan(request)? {
        Ok(plan) => Ok(plan),
        Err(refusal) => bail!("{request:?} was refused: {refusal:?}"),
    }
}

/// A flight, driven step by step.
struct Flight<'p> {
    policy: &'p dyn Policy,
    memo: Memo,
    moment: Moment,
}

impl<'p> Flight<'p> {
    fn of(policy: &'p dyn Policy) -> Result<Self> {
        let memo = plan(policy, &profile(Some("42")))?.memo;
        Ok(Self { policy, memo, moment: Moment { elapsed_ms: 5, left_ms: 2_000, entropy: 7 } })
    }

    /// A flight that has the lease and was told to load.
    fn loading(policy: &'p dyn Policy) -> Result<Self> {
        let mut flight = Self::of(policy)?;
        flight.expect(Event::Absent, Action::Claim(1_000))?;
        flight.expect(Event::LeaseGranted, Action::Load)?;
        Ok(flight)
    }

    fn on(&mut self, event: Event) -> Result<Action> {
        let turn = self.policy.step(self.memo, self.moment, event)?;
        self.memo = turn.memo;
        Ok(turn.action)
    }

    fn expect(&mut self, event: Event, expected: Action) -> Result<()> {
        let action = self.on(event)?;
        ensure!(action == expected, "{event:?} led to {action:?} instead of {expected:?}");
        Ok(())
    }
}

/// A value that is fresh for a while and not due.
const FRESH: Sighting = Sighting {
    age_ms: 1_000,
    refresh_ms: 200_000,
    fresh_ms: 250_000,
    past_ms: 0,
    cost_ms: 20,
    negative: false,
};

/// A value that was fresh until `past_ms` ago.
fn stale(past_ms: u32) -> Sighting {
    Sighting { age_ms: 400_000, refresh_ms: 0, fresh_ms: 0, past_ms, ..FRESH }
}

fn context<T>(result: Result<T>, about: &impl std::fmt::Debug) -> Result<T> {
    result.with_context(|| format!("{about:?}"))
}
