mod time;
mod traps;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::super::{Conditions, HotRead};
use super::explore;
use super::testing::{Bent, LONG, conditions, explored, found, moves};
use crate::name::StoreKey;
use crate::policy::run::guard::{Refused, SPARE_TURNS, TARGETS_OF_A_ROW};
use crate::policy::{
    Action, Change, Configuration, Event, Lifetime, Memo, Piece, Plan, Scope, Sighting, Source,
    Target, Touch, Turn, Way,
};

#[test]
fn a_sound_policy_passes_and_all_of_it_was_explored() {
    let learned = explored(&Bent::default()).unwrap();
    let explored = learned.explored;
    assert!(explored.complete, "{explored:?}");
    assert_eq!(explored.reads.done, explored.reads.of);
    assert_eq!(explored.changes.done, explored.changes.of);
    assert!(explored.changes.of > 30, "{explored:?}");
    // One for each entity, and two for ad-hoc queries.
    assert_eq!((explored.machines.done, explored.machines.of), (5, 5));
    // Queries have no stale values, so their machines differ from those of entities.
    assert_eq!(explored.in_full, 2, "machines that are alike share one exploration");
    assert!(explored.situations > 100 && explored.depth >= 5, "{explored:?}");
}

#[test]
fn a_policy_that_there_was_no_time_to_examine_is_refused_with_the_setting_that_helps() {
    let policy = Bent::default();
    let refused = explore([&policy, &policy], &conditions(), Duration::ZERO).unwrap_err();
    for word in ["0 of", "reads", "changes", "policy.limits.gate"] {
        assert!(refused.reason.contains(word), "{}", refused.reason);
    }
}

#[test]
fn a_flight_that_nothing_ends_is_found() {
    let (message, findings) = found(&Bent::acting(|_, _, _, _| Some(Action::Look)));
    assert_eq!(message, "a flight comes to a point from which no event ends it");
    assert_eq!(
        moves(&findings[0]),
        ["found fresh for 45000 ms → look", "found fresh for 45000 ms → look"]
    );
}

#[test]
fn a_flight_that_claims_for_ever_what_is_of_no_use_is_found() {
    let policy = Bent::stepping(|memo, _, event, turn| {
        let useless = matches!(event, Event::Found(Sighting { fresh_ms: 0, .. }));
        Ok(if useless { Turn { memo, action: Action::Claim(1_000) } } else { turn })
    });
    let (message, findings) = found(&policy);
    assert!(message.ends_with(&Refused::Circling.to_string()), "{message}");
    assert_eq!(
        moves(&findings[0]),
        ["found stale for 1 ms → claim 1000 ms", "found stale for 1 ms → claim 1000 ms"]
    );
}

#[test]
fn a_flight_that_counts_its_rounds_is_found_when_the_guard_stops_it() {
    let policy = Bent::stepping(|memo, _, event, turn| {
        let memo = Memo { note: memo.note + 1, ..memo };
        Ok(if event == Event::Absent { Turn { memo, action: Action::Look } } else { turn })
    });
    let (message, findings) = found(&policy);
    assert!(message.ends_with(&Refused::Circling.to_string()), "{message}");
    assert_eq!(findings[0].sequence.len(), SPARE_TURNS as usize + 1);
}

#[test]
fn a_flight_that_turns_too_often_for_its_waits_is_found() {
    const LOOKS: u32 = 4;
    const WAITED: u32 = 7;
    let policy = Bent::stepping(|memo, _, event, turn| {
        let looks_on = memo.phase == WAITED && matches!(event, Event::Waited | Event::Absent);
        if looks_on && memo.since_ms < LOOKS {
            let memo = Memo { since_ms: memo.since_ms + 1, ..memo };
            return Ok(Turn { memo, action: Action::Look });
        }
        let waits = matches!(turn.action, Action::Wait(_));
        let memo = if waits { Memo { phase: WAITED, since_ms: 0, ..memo } } else { turn.memo };
        Ok(Turn { memo, ..turn })
    });
    let (message, findings) = found(&policy);
    assert!(message.ends_with(&Refused::Circling.to_string()), "{message}");
    let waits = |finding| moves(finding).iter().any(|turn| turn.ends_with("wait 250 ms"));
    assert!(findings.iter().any(waits), "{findings:#?}");
}

#[test]
fn a_fill_without_a_lease_is_found_with_the_shortest_way_to_it() {
    let policy = Bent::acting(|_, _, event, action| match (event, action) {
        (Event::Loaded(_), Action::Answer) => Some(fill(1_000, 1_000)),
        _ => None,
    });
    let (message, findings) = found(&policy);
    assert_eq!(message, "fill after loaded: it is not legal now (legal: answer)");
    assert_eq!(
        moves(&findings[0]),
        [
            "store-unavailable → load-uncached",
            "loaded in 20 ms → fill, fresh 1000 ms, stale 0 ms, refresh at 1000 ms"
        ]
    );
}

#[test]
fn a_load_while_somebody_else_holds_the_lease_is_found() {
    let policy =
        Bent::acting(|_, _, event, _| matches!(event, Event::LeaseHeld(_)).then_some(Action::Load));
    let (message, findings) = found(&policy);
    assert!(message.starts_with("load after lease-held: it is not legal now"), "{message}");
    assert_eq!(findings[0].sequence.len(), 2);
}

#[test]
fn a_wait_past_the_deadline_is_found_even_if_only_a_long_lease_leads_to_it() {
    let policy = Bent::acting(|_, _, event, _| {
        let Event::LeaseHeld(held_ms) = event else { return None };
        (held_ms > 1_000).then_some(Action::Wait(held_ms))
    });
    let (message, findings) = found(&policy);
    assert_eq!(message, "wait after lease-held: the wait is longer than the time that is left");
    let moves = moves(&findings[0]);
    assert_eq!(moves.len(), 2);
    assert_eq!(moves[1], "lease-held for 60000 ms → wait 60000 ms");
}

#[test]
fn a_lifetime_out_of_bounds_is_found_wherever_entropy_leads_to_it() {
    for (bad, when) in [
        (fill(0, 0), 0),
        (fill(1_000, 1_001), u64::MAX),
        (fill(u32::MAX, 0), 1 << 40),
        (fill(0, 0), 1 << 63),
    ] {
        let policy = Bent::acting(move |_, moment, _, action| {
            (matches!(action, Action::Fill(_)) && moment.entropy == when).then_some(bad)
        });
        let findings = explored(&policy).unwrap_err().findings;
        let message = "fill after loaded: the lifetime is out of bounds: ";
        assert!(findings.iter().all(|f| f.message.starts_with(message)), "{when}: {findings:#?}");
        assert_eq!(findings[0].sequence.len(), 3, "{when}");
    }
}

#[test]
fn a_lifetime_for_a_row_that_does_not_exist_is_looked_at_as_well() {
    let policy = Bent::acting(|_, _, event, action| match (event, action) {
        (Event::Loaded(report), Action::Fill(_)) if report.negative => Some(fill(0, 0)),
        _ => None,
    });
    let findings = explored(&policy).unwrap_err().findings;
    assert!(moves(&findings[0])[2].starts_with("loaded in 20 ms, no such row → fill, fresh 0 ms"));
}

#[test]
fn a_lease_of_a_moment_is_found() {
    let policy = Bent::acting(|_, _, _, action| {
        matches!(action, Action::Claim(_)).then_some(Action::Claim(10))
    });
    let (message, findings) = found(&policy);
    assert!(message.contains("the lease is out of bounds: 50 to 60000 ms"), "{message}");
    assert_eq!(findings[0].sequence.len(), 1);
}

#[test]
fn an_answer_out_of_nothing_is_found() {
    let policy = Bent::acting(|_, _, _, action| (action == Action::Fail).then_some(Action::Answer));
    let (message, findings) = found(&policy);
    assert_eq!(message, "answer after load-failed: it is not legal now (legal: fail)");
    assert_eq!(
        moves(&findings[0]),
        ["store-unavailable → load-uncached", "load-failed, unavailable → answer"]
    );
}

#[test]
fn a_refresh_that_loads_without_a_lease_is_found_behind_the_answer_that_began_it() {
    const REFRESHING: u32 = 9;
    let policy = Bent::stepping(|memo, _, event, turn| {
        let Event::Found(seen) = event else { return Ok(turn) };
        let action = match (memo.phase, seen.refresh_ms, seen.fresh_ms) {
            (REFRESHING, _, _) => Action::Load,
            (_, 0, 1..) => Action::AnswerAndRefresh,
            _ => return Ok(turn),
        };
        Ok(Turn { memo: Memo { phase: REFRESHING, ..memo }, action })
    });
    let (message, findings) = found(&policy);
    assert!(message.starts_with("load after found: it is not legal now"), "{message}");
    assert_eq!(
        moves(&findings[0]),
        [
            "found fresh for 15000 ms and due for refresh → answer-and-refresh",
            "found fresh for 15000 ms and due for refresh → load"
        ]
    );
}

#[test]
fn a_machine_that_goes_wrong_for_one_entity_alone_is_found() {
    let policy = Bent::acting(|memo, _, event, action| match (event, action) {
        (Event::Loaded(_), Action::Answer) if memo.terms == 1 => Some(fill(1_000, 1_000)),
        _ => None,
    });
    let (_, findings) = found(&policy);
    assert_eq!(findings.iter().map(|f| f.at.as_str()).collect::<Vec<_>>(), ["orders"]);
}

#[test]
fn calls_whose_answers_depend_on_the_calls_before_are_found() {
    let calls = AtomicU32::new(0);
    let policy = Bent::stepping(move |_, _, _, turn| {
        let odd = calls.fetch_add(1, Ordering::Relaxed) % 2;
        Ok(Turn { memo: Memo { since_ms: odd, ..turn.memo }, ..turn })
    });
    let findings = explored(&policy).unwrap_err().findings;
    assert!(findings[0].message.contains("asked twice"), "{findings:#?}");

    let calls = AtomicU32::new(0);
    let policy = Bent::touching(move |_, mut targets| {
        let odd = calls.fetch_add(1, Ordering::Relaxed) % 2;
        targets.extend(targets.get(odd as usize).cloned());
        targets
    });
    let findings = explored(&policy).unwrap_err().findings;
    assert!(
        findings[0].message.starts_with("asked twice for the targets of the write rename"),
        "{findings:#?}"
    );
}

#[test]
fn two_instances_that_differ_are_found() {
    let other = Bent::acting(|_, _, event, _| {
        matches!(event, Event::Waited).then_some(Action::LoadUncached)
    });
    let findings = explore([&Bent::default(), &other], &conditions(), LONG).unwrap_err().findings;
    let message = "after waited, asked of another instance, claim became load-uncached";
    assert!(findings.iter().all(|finding| finding.message == message), "{findings:#?}");
}

#[test]
fn a_write_that_forgets_what_it_touches_is_found_with_the_read_that_stays_stale() {
    for (forgotten, read) in [
        ("user:", "read  orders(user=\"7\", day=\"5\")"),
        ("team:", "read  user.profile(id=\"5\")"),
    ] {
        let (message, findings) = found(&Bent::touching(move |_, mut targets| {
            targets.retain(|target| !is_tag(&target.scope, forgotten));
            targets
        }));
        assert_eq!(message, "the write rename leaves a read stale");
        let example = &findings[0].examples;
        assert!(example[0].starts_with("write user.profile.rename(user="), "{example:?}");
        assert_eq!(example[1], read);
    }
}

#[test]
fn a_read_is_covered_by_its_tag_as_well_as_by_its_key() {
    let keys_alone = Bent::touching(|_, mut targets| {
        targets.retain(|target| matches!(target.scope, Scope::Tag(_)));
        targets
    });
    assert!(explored(&keys_alone).is_ok());
}

#[test]
fn a_row_that_moved_has_to_be_invalidated_where_it_was() {
    let policy = Bent::touching(|change, mut targets| {
        if change.rows().iter().any(|row| !row.before.is_empty()) {
            let first = targets.iter().rposition(|target| is_tag(&target.scope, "team:"));
            targets.truncate(first.unwrap_or(targets.len()));
        }
        targets
    });
    let (message, findings) = found(&policy);
    assert_eq!(message, "the write rename leaves a read stale");
    assert!(findings[0].examples[0].contains("a row that was (team: \"70\")"), "{findings:#?}");
}

#[test]
fn a_policy_that_leaves_out_what_an_old_column_names_is_found() {
    let mut configuration = Configuration::clone(&conditions().configuration);
    let touches = &mut configuration.entities[2].writes[0].touches;
    touches.pop();
    touches.push(Touch::Tag(vec![
        Piece::Text("team:".into()),
        Piece::Value(Source::OldColumn("team".into())),
    ]));
    let conditions = Conditions { configuration: configuration.into(), ..conditions() };
    assert!(explore([&Bent::default(), &Bent::default()], &conditions, LONG).is_ok());

    let policy = Bent::touching(|_, mut targets| {
        targets.retain(|target| !is_tag(&target.scope, "team:"));
        targets
    });
    let findings = explore([&policy, &policy], &conditions, LONG).unwrap_err().findings;
    let (message, examples) = (&findings[0].message, &findings[0].examples);
    assert_eq!((message.as_str(), findings.len()), ("the write rename leaves a read stale", 1));
    assert!(examples[0].contains("a row that was (team:"), "{examples:?}");
}

#[test]
fn a_change_of_the_log_is_explored_as_well() {
    let policy = Bent::touching(|change, targets| match change {
        Change::Written(_) => targets,
        Change::Logged(_) => {
            vec![Target { scope: Scope::Tag("a b".into()), way: Way::Removed }]
        }
    });
    let (message, findings) = found(&policy);
    let targets =
        "a change of public.unknown has targets that a host can't act upon: the tag \"a b\"";
    assert!(message.starts_with(targets), "{message}");
    assert_eq!(findings[0].at, "public.unknown");
}

#[test]
fn a_write_that_confuses_null_with_an_empty_text_is_found() {
    let policy = Bent::touching(|change, mut targets| {
        let Change::Written(written) = change else { return targets };
        if written.arguments[0].value.is_none() {
            targets.clear();
        }
        targets
    });
    let (_, findings) = found(&policy);
    assert!(findings[0].examples[0].contains("user=null"), "{findings:#?}");
}

#[test]
fn targets_that_are_no_names_are_found() {
    let policy = Bent::touching(|_, mut targets| {
        targets.iter_mut().take(1).for_each(|target| target.scope = Scope::Tag("a b".into()));
        targets
    });
    let (message, _) = found(&policy);
    assert!(message.contains("it has ' ' at byte 1"), "{message}");
}

#[test]
fn more_targets_than_a_host_acts_upon_are_found() {
    let policy = Bent::touching(|change, mut targets| {
        let most = TARGETS_OF_A_ROW * change.rows().len().max(1);
        let one = Target { scope: Scope::Tag("t".into()), way: Way::Removed };
        targets.resize(most + usize::from(matches!(change, Change::Written(_))), one);
        targets
    });
    let (message, findings) = found(&policy);
    assert!(message.ends_with("for a change of 0 rows, 1024 a row are allowed"), "{message}");
    assert_eq!(findings.len(), 1, "{findings:#?}");
}

#[test]
fn hot_reads_that_share_a_key_are_found_and_those_that_were_generated_are_no_others() {
    let hot = |id: &str| HotRead {
        request: conditions().entities()[2].request(&[Some(id)]),
        key: StoreKey::try_new("k").unwrap(),
    };
    let one = Bent {
        plan: Box::new(|request, plan| {
            let hot = request.arguments.iter().any(|a| is_hot(a.value.as_deref()));
            if hot { Plan { key: "the-same".into(), ..plan } } else { plan }
        }),
        ..Bent::default()
    };
    let with_hot = Conditions { hot: vec![hot("hot 1"), hot("hot 2"), hot("7")], ..conditions() };
    assert!(explore([&Bent::default(), &Bent::default()], &with_hot, LONG).is_ok());
    let rejection = explore([&one, &one], &with_hot, LONG).unwrap_err();
    assert_eq!(rejection.findings[0].message, "two reads share the key \"the-same\"");
}

fn is_hot(value: Option<&str>) -> bool {
    value.is_some_and(|value| value.starts_with("hot"))
}

fn is_tag(scope: &Scope, begins: &str) -> bool {
    matches!(scope, Scope::Tag(tag) if tag.starts_with(begins))
}

fn fill(fresh_ms: u32, refresh_ms: u32) -> Action {
    Action::Fill(Lifetime { fresh_ms, stale_ms: 0, refresh_ms })
}
