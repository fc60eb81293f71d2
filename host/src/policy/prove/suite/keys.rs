//! How reads are named.

use std::collections::HashMap;

use super::{Counterexample, Outcome, entity, plan, profile, query, query_kept, require};
use crate::policy::prove::{OTHER_TTL_MS, USUAL_TTL_MS};
use crate::policy::{Decider, Named, Refusal, Request, Subject};

/// Values that a careless naming confuses with each other, or can't put into a key at all.
pub(super) const NASTY: [Option<&str>; 26] = [
    None,
    Some(""),
    Some("~"),
    Some("null"),
    Some("42"),
    Some("042"),
    Some("42 "),
    Some("42:admin"),
    Some("42%3Aadmin"),
    Some("42%253Aadmin"),
    Some(":"),
    Some("::"),
    Some("{42}"),
    Some("}{"),
    Some("42\n"),
    Some("42\r\n"),
    Some("\0"),
    Some("a b"),
    Some("a,b"),
    Some("é"),
    Some("e\u{301}"),
    Some("%C3%A9"),
    Some("😀"),
    Some("A"),
    Some("a"),
    Some("\u{7f}"),
];

pub(super) fn two_different_reads_never_share_a_key(policy: &dyn Decider) -> Outcome {
    let mut seen: HashMap<String, Request> = HashMap::new();
    for request in nasty_requests() {
        let key = plan(policy, &request)?.key;
        if let Some(other) = seen.insert(key.clone(), request.clone()) {
            require!(other == request, "{key} is the key of {other:?} and of {request:?}");
        }
    }
    require!(seen.len() > NASTY.len() * NASTY.len(), "only {} keys", seen.len());
    Ok(())
}

pub(super) fn the_order_of_arguments_makes_no_difference(policy: &dyn Decider) -> Outcome {
    for request in nasty_requests() {
        let mut reordered = request.clone();
        reordered.arguments.reverse();
        let (plan, again) = (plan(policy, &request)?, plan(policy, &reordered)?);
        require!(plan == again, "{request:?}: {plan:?} and, in another order, {again:?}");
    }
    Ok(())
}

pub(super) fn every_key_and_tag_is_legal(policy: &dyn Decider) -> Outcome {
    let long = ["é".repeat(5_000), "{".repeat(200), " ".repeat(512), "x".repeat(513)];
    let long = long.iter().map(|text| profile(Some(text)));
    for request in nasty_requests().into_iter().chain(long) {
        Named::try_new(plan(policy, &request)?)
            .map_err(|illegal| Counterexample(format!("{request:?}: {illegal}")))?;
    }
    Ok(())
}

pub(super) fn an_ad_hoc_query_is_named_by_everything_that_was_asked_for(
    policy: &dyn Decider,
) -> Outcome {
    let kept = |ttl_ms, tags: &[&str]| query_kept("SELECT 1", ttl_ms, tags);
    let requests = [
        query("SELECT 1", &[]),
        query("SELECT  1", &[]),
        query("SELECT $1", &[("1", Some("a"))]),
        query("SELECT $1", &[("1", None)]),
        query("SELECT $1", &[("1", Some("b"))]),
        query("SELECT $1", &[("2", Some("a"))]),
        kept(OTHER_TTL_MS, &["reports"]),
        kept(USUAL_TTL_MS, &["a"]),
        kept(USUAL_TTL_MS, &["a", "reports"]),
    ];
    let mut keys = Vec::new();
    for request in &requests {
        let plan = plan(policy, request)?;
        let Subject::Query(query) = &request.subject else { continue };
        require!(plan.tags == query.tags, "{:?} instead of {:?}", plan.tags, query.tags);
        keys.push(plan.key);
    }
    keys.sort();
    keys.dedup();
    require!(keys.len() == requests.len(), "{keys:?}");
    let [one, other] =
        [&["a", "b"], &["b", "a"]].map(|tags| plan(policy, &kept(USUAL_TTL_MS, tags)));
    let (one, other) = (one?, other?);
    require!(one == other, "{one:?} and, with its tags in another order, {other:?}");
    Ok(())
}

pub(super) fn a_request_that_does_not_fit_is_refused_by_name(policy: &dyn Decider) -> Outcome {
    let refused = [
        (entity("user.profil", &[]), Refusal::UnknownEntity),
        (entity("user.profile", &[]), Refusal::MissingArgument("id".into())),
        (
            entity("user.profile", &[("id", Some("1")), ("page", Some("2"))]),
            Refusal::SurplusArgument("page".into()),
        ),
        (
            entity("user.profile", &[("id", Some("1")), ("id", Some("1"))]),
            Refusal::SurplusArgument("id".into()),
        ),
    ];
    for (request, expected) in refused {
        let answer = policy.plan(&request)?;
        require!(answer == Err(expected), "{request:?}: {answer:?}");
    }
    Ok(())
}

fn nasty_requests() -> Vec<Request> {
    let mut requests: Vec<Request> = NASTY.iter().map(|value| profile(*value)).collect();
    for user in NASTY {
        for page in NASTY {
            requests.push(entity("order.list", &[("user", user), ("page", page)]));
            requests.push(query("SELECT $1, $2", &[("1", user), ("2", page)]));
        }
    }
    requests.push(entity("catalogue", &[]));
    requests
}
