//! The conformance suite for authors of policies: what a good policy does, as sentences that hold
//! or don't.
//!
//! The gate asks whether a policy can do harm. The suite asks whether it does its work: that a
//! stampede costs one load, that values which were filled together do not expire together, that a
//! write removes what it touches. A policy that breaks a sentence for a good reason serves all the
//! same.

mod flights;
mod invalidation;
mod keys;
mod lifetimes;

use serde_json::{Map, Value};

use crate::policy::prove::USUAL_TTL_MS;
use crate::policy::{
    Action, Argument, Configuration, Decider, Entity, Event, Memo, Moment, Piece, Plan, Query,
    Request, Sighting, Source, Subject, Template, Terms, Touch, TouchedRead, Trap, Way, Write,
};

/// What a policy under test is configured with: its own settings, as its operator writes them, and
/// the entities of the suite.
#[must_use]
pub fn configuration(settings: &Map<String, Value>) -> Configuration {
    Configuration { entities: entities(), settings: settings.clone() }
}

fn entities() -> Vec<Entity> {
    let catalogue = Entity {
        tags: vec![vec![Piece::Text(long_tag())]],
        terms: kept(10_000),
        ..Entity::of("catalogue", &[])
    };
    let orders = Entity {
        tags: vec![tag("user:", argument("user"))],
        terms: kept(60_000),
        ..Entity::of("order.list", &["user", "page"])
    };
    let profile = Entity {
        tags: vec![tag("user:", argument("id")), tag("team:", column("team_id"))],
        terms: Terms {
            stale_while_revalidate_ms: 60_000,
            stale_if_error_ms: 3_600_000,
            ..kept(300_000)
        },
        writes: vec![
            write("move", &["id", "team"], Way::Refreshed, tag("team:", column("team_id"))),
            write("rename", &["id", "name"], Way::Removed, tag("user:", argument("id"))),
        ],
        ..Entity::of("user.profile", &["id"])
    };
    vec![catalogue, orders, profile]
}

/// 101 characters in 201 bytes, of which every even byte lies within a character: languages differ in
/// how they count a text and where they cut it.
fn long_tag() -> String {
    format!("x{}", "é".repeat(100))
}

fn kept(ttl_ms: u32) -> Terms {
    Terms { negative_ttl_ms: 30_000, ..Terms::of_query(ttl_ms) }
}

/// A write of `user.profile` that touches its read and a tag.
fn write(name: &str, params: &[&str], way: Way, tag: Template) -> Write {
    let read = TouchedRead { entity: "user.profile".into(), arguments: vec![argument("id")] };
    Write {
        name: name.into(),
        parameters: Entity::of(name, params).parameters,
        way,
        touches: vec![Touch::Read(read), Touch::Tag(tag)],
    }
}

fn tag(text: &str, value: Source) -> Template {
    vec![Piece::Text(text.into()), Piece::Value(value)]
}

fn argument(name: &str) -> Source {
    Source::Argument(name.into())
}

fn column(name: &str) -> Source {
    Source::Column(name.into())
}

/// Why a sentence does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Counterexample(pub String);

impl From<Trap> for Counterexample {
    fn from(trap: Trap) -> Self {
        Self(trap.to_string())
    }
}

/// Whether a sentence holds.
pub type Outcome<T = ()> = Result<T, Counterexample>;

/// Goes on if the condition holds; otherwise returns what was seen, as the remaining arguments
/// format it.
macro_rules! require {
    ($condition:expr, $($seen:tt)+) => {
        let holds: bool = $condition;
        if !holds {
            return Err($crate::policy::prove::suite::Counterexample(format!($($seen)+)));
        }
    };
}
use require;

/// One check: its name is the sentence that it proves.
pub struct Check {
    name: &'static str,
    run: fn(&dyn Decider) -> Outcome,
}

impl Check {
    /// The sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        self.name.replace('_', " ")
    }

    /// Whether it holds for this policy, configured with [`configuration`].
    ///
    /// # Errors
    /// What was seen instead.
    pub fn run(&self, policy: &dyn Decider) -> Outcome {
        (self.run)(policy)
    }
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
        two_different_reads_never_share_a_key,
        the_order_of_arguments_makes_no_difference,
        every_key_and_tag_is_legal,
        an_ad_hoc_query_is_named_by_everything_that_was_asked_for,
        a_request_that_does_not_fit_is_refused_by_name;
    lifetimes:
        what_is_filled_together_does_not_expire_together,
        a_value_lives_at_most_twice_as_long_as_configured,
        nothing_is_kept_beyond_its_last_stale_answer,
        a_refresh_comes_within_the_lifetime,
        a_row_that_does_not_exist_lives_for_about_the_negative_lifetime,
        the_same_entropy_gives_the_same_lifetime;
    flights:
        a_cold_read_claims_once_loads_fills_and_answers,
        a_fresh_value_is_answered,
        a_value_due_early_is_answered,
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
        a_write_removes_the_key_and_the_declared_tag_of_its_reads,
        a_write_through_refreshes_reads_and_removes_tags,
        a_row_that_moves_touches_where_it_was_and_where_it_is,
        a_write_that_nobody_declared_touches_nothing,
        a_tag_of_a_row_meets_the_tag_that_a_write_removes;
}

/// A flight of one read of the suite's `user.profile`, driven step by step.
pub struct SuiteFlight<'p> {
    policy: &'p dyn Decider,
    /// What the policy wants to remember.
    pub memo: Memo,
    /// When the next step is taken.
    pub moment: Moment,
}

impl<'p> SuiteFlight<'p> {
    /// A flight that begins.
    ///
    /// # Errors
    /// [`Counterexample`] if the policy does not plan the read.
    pub fn of(policy: &'p dyn Decider) -> Outcome<Self> {
        let memo = plan(policy, &profile(Some("42")))?.memo;
        Ok(Self { policy, memo, moment: Moment { elapsed_ms: 5, left_ms: 2_000, entropy: 7 } })
    }

    /// A flight that has the lease and whose next action is a load.
    ///
    /// # Errors
    /// [`Counterexample`] if a cold read does not come that far.
    pub fn loading(policy: &'p dyn Decider) -> Outcome<Self> {
        let mut flight = Self::of(policy)?;
        flight.claims(Event::Absent)?;
        flight.leads_to(Event::LeaseGranted, Action::Load)?;
        Ok(flight)
    }

    /// Takes a step.
    ///
    /// # Errors
    /// [`Counterexample`] if the policy traps.
    pub fn on(&mut self, event: Event) -> Outcome<Action> {
        let turn = self.policy.step(self.memo, self.moment, event)?;
        self.memo = turn.memo;
        Ok(turn.action)
    }

    /// Takes a step that has to lead to this action.
    ///
    /// # Errors
    /// [`Counterexample`] if it leads to another action.
    pub fn leads_to(&mut self, event: Event, expected: Action) -> Outcome {
        let action = self.on(event)?;
        require!(action == expected, "{event:?} led to {action:?} instead of {expected:?}");
        Ok(())
    }

    /// Takes a step that has to lead to a claim of any length.
    fn claims(&mut self, event: Event) -> Outcome {
        let action = self.on(event)?;
        require!(
            matches!(action, Action::Claim(1..)),
            "{event:?} led to {action:?}, not to a claim"
        );
        Ok(())
    }

    /// Another flight holds the lease: the step has to lead to a wait of at most `at_most_ms`.
    fn waits(&mut self, held_ms: u32, at_most_ms: u32) -> Outcome {
        let action = self.on(Event::LeaseHeld(held_ms))?;
        let waits = matches!(action, Action::Wait(ms) if (1..=at_most_ms).contains(&ms));
        require!(waits, "a lease held for {held_ms} ms led to {action:?}, not to a wait within it");
        Ok(())
    }

    /// Takes a step that has to lead to a fill.
    fn fills(&mut self, event: Event) -> Outcome {
        let action = self.on(event)?;
        require!(matches!(action, Action::Fill(_)), "{event:?} led to {action:?}, not to a fill");
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

fn entity(name: &str, arguments: &[(&str, Option<&str>)]) -> Request {
    Request { subject: Subject::Entity(name.into()), arguments: named(arguments) }
}

fn profile(id: Option<&str>) -> Request {
    entity("user.profile", &[("id", id)])
}

fn query(sql: &str, arguments: &[(&str, Option<&str>)]) -> Request {
    Request { arguments: named(arguments), ..query_kept(sql, USUAL_TTL_MS, &["reports"]) }
}

fn query_kept(sql: &str, ttl_ms: u32, tags: &[&str]) -> Request {
    let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
    let query = Query { sql: sql.into(), ttl_ms, tags };
    Request { subject: Subject::Query(query), arguments: Vec::new() }
}

fn named(arguments: &[(&str, Option<&str>)]) -> Vec<Argument> {
    let argument = |(name, value): &(&str, Option<&str>)| Argument {
        name: (*name).into(),
        value: value.map(str::to_owned),
    };
    arguments.iter().map(argument).collect()
}

fn plan(policy: &dyn Decider, request: &Request) -> Outcome<Plan> {
    policy
        .plan(request)?
        .map_err(|refusal| Counterexample(format!("{request:?} was refused: {refusal:?}")))
}

#[cfg(test)]
mod tests;
