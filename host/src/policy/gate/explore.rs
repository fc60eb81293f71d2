//! Behaviour: a candidate is asked for decisions, and what it answers must be fit to act upon.

use std::collections::{BTreeMap, HashMap};

use super::requests::{VALUES, reordered, requests, shown};
use super::{EntityShape, Finding, Hot, HotRead, Learned, Rejection, Renamed, Stage, Terms};
use crate::policy::pool::Pinned;
use crate::policy::{
    Cause, Event, Failure, Memo, Moment, Named, Plan, Policy, Refusal, Report, Request, Row,
    Sighting, Subject, Trap, guard,
};

/// Traps after which the exploration ends: each may have cost a whole deadline.
const TRAPS_LIMIT: u32 = 8;

/// What a policy can do wrong with an entity. Of each, the smallest example is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    Answers,
    Knows,
    Legal,
    Distinct,
    Stable,
    Alike,
    Unordered,
    RowTags,
    Steps,
}

struct Exploration<'a> {
    pair: [Pinned<'a>; 2],
    keys: HashMap<String, String>,
    findings: BTreeMap<(String, Rule), Finding>,
    hot: Hot,
    decisions: u64,
    traps: u32,
}

/// A read asked again, in a way that must make no difference.
struct Again<'a> {
    instance: usize,
    request: &'a Request,
    rule: Rule,
    how: &'static str,
}

/// Asks for the reads of every entity and for a step of every kind.
///
/// # Errors
/// [`Rejection`] with one finding for every entity and rule.
pub(super) fn explore<'a>(
    pair: [Pinned<'a>; 2],
    terms: &Terms,
) -> Result<([Pinned<'a>; 2], Learned), Rejection> {
    let mut exploration = Exploration {
        pair,
        keys: HashMap::new(),
        findings: BTreeMap::new(),
        hot: Hot::default(),
        decisions: 0,
        traps: 0,
    };
    for entity in &terms.entities {
        exploration.entity(entity);
    }
    for read in &terms.hot {
        exploration.hot(read);
    }
    exploration.steps();
    exploration.end()
}

impl<'a> Exploration<'a> {
    fn end(self) -> Result<([Pinned<'a>; 2], Learned), Rejection> {
        if self.findings.is_empty() {
            let learned = Learned { decisions: self.decisions, hot: self.hot };
            return Ok((self.pair, learned));
        }
        let reason = "it gives answers that a host can't act upon";
        Err(Rejection::findings(Stage::Behaviour, reason, self.findings.into_values()))
    }

    fn entity(&mut self, entity: &EntityShape) {
        let mut columns = None;
        for request in requests(entity) {
            if self.traps >= TRAPS_LIMIT {
                return;
            }
            if let Some(plan) = self.read(&entity.name, &request)
                && !plan.row_columns.is_empty()
            {
                columns.get_or_insert((request, plan.row_columns));
            }
        }
        if let Some((request, columns)) = columns {
            self.row_tags(&entity.name, &request, columns.len());
        }
    }

    /// Whether a read that is hot would go cold.
    fn hot(&mut self, HotRead { request, key }: &HotRead) {
        let Subject::Entity(entity) = &request.subject else { return };
        let Some(plan) = self.plan(0, entity, request) else { return };
        self.hot.asked += 1;
        if plan.key == key.as_str() {
            return;
        }
        self.hot.renamed += 1;
        self.hot.example.get_or_insert_with(|| Renamed {
            read: shown(request),
            key: key.as_str().to_owned(),
            becomes: plan.key,
        });
    }

    /// One read, asked in every way in which the answer must be the same.
    fn read(&mut self, entity: &str, request: &Request) -> Option<Plan> {
        let plan = self.plan(0, entity, request)?;
        if let Err(illegal) = Named::try_new(plan.clone()) {
            self.find(entity, Rule::Legal, illegal.to_string(), request);
        }
        self.distinct(entity, request, &plan.key);
        let again = |instance, request, rule, how| Again { instance, request, rule, how };
        let stable = again(0, request, Rule::Stable, "asked twice");
        let alike = again(1, request, Rule::Alike, "asked of another instance");
        self.same(entity, &plan, &stable);
        self.same(entity, &plan, &alike);
        if request.arguments.len() > 1 {
            let turned = reordered(request);
            let how = "with its arguments in another order";
            self.same(entity, &plan, &again(1, &turned, Rule::Unordered, how));
        }
        Some(plan)
    }

    fn distinct(&mut self, entity: &str, request: &Request, key: &str) {
        let request_shown = shown(request);
        if let Some(other) = self.keys.get(key) {
            let message = format!("two reads share the key {:?}", guard::excerpt(key));
            let examples = vec![other.clone(), request_shown];
            self.keep(entity, Rule::Distinct, message, examples);
        } else {
            self.keys.insert(key.to_owned(), request_shown);
        }
    }

    fn same(&mut self, entity: &str, plan: &Plan, again: &Again<'_>) {
        let Some(other) = self.plan(again.instance, entity, again.request) else { return };
        if other != *plan {
            let message = format!("{}, {}", again.how, difference(plan, &other));
            self.find(entity, again.rule, message, again.request);
        }
    }

    fn plan(&mut self, instance: usize, entity: &str, request: &Request) -> Option<Plan> {
        self.decisions += 1;
        let answer = self.pair[instance].plan(request);
        match self.answered(entity, answer, request)? {
            Ok(plan) => Some(plan),
            Err(refusal) => {
                let message = format!("it refuses a read that is declared: {}", why(&refusal));
                self.find(entity, Rule::Knows, message, request);
                None
            }
        }
    }

    fn row_tags(&mut self, entity: &str, request: &Request, columns: usize) {
        let row = |value: Option<&str>| -> Row { vec![value.map(str::to_owned); columns] };
        for value in VALUES {
            self.decisions += 1;
            let answer = self.pair[0].pool.row_tags(request, &[row(value)]);
            let problem = match self.answered(entity, answer, request) {
                None => return,
                Some(Ok(tags)) => guard::tags(&tags).err().map(|illegal| illegal.to_string()),
                Some(Err(refusal)) => Some(why(&refusal)),
            };
            if let Some(problem) = problem {
                let message = format!("with {value:?} in the row, {problem}");
                self.find(entity, Rule::RowTags, message, request);
            }
        }
    }

    /// That a step answers at all; what it may answer depends on the flight, and is checked there.
    fn steps(&mut self) {
        let memo = Memo { phase: 0, attempts: 0, since_ms: 0, spare: 0 };
        let moment = Moment { elapsed_ms: 0, left_ms: 1_000, entropy: 0x9e37_79b9_7f4a_7c15 };
        for event in events() {
            if self.traps >= TRAPS_LIMIT {
                return;
            }
            self.decisions += 1;
            if let Err(trap) = self.pair[0].pool.step(memo, moment, event) {
                self.traps += 1;
                self.keep("", Rule::Steps, trap.to_string(), vec![format!("{event:?}")]);
            }
        }
    }

    fn answered<R>(
        &mut self,
        entity: &str,
        answer: Result<R, Trap>,
        request: &Request,
    ) -> Option<R> {
        match answer {
            Ok(answer) => Some(answer),
            Err(trap) => {
                self.traps += 1;
                self.find(entity, Rule::Answers, trap.to_string(), request);
                None
            }
        }
    }

    fn find(&mut self, entity: &str, rule: Rule, message: String, request: &Request) {
        self.keep(entity, rule, message, vec![shown(request)]);
    }

    fn keep(&mut self, entity: &str, rule: Rule, message: String, examples: Vec<String>) {
        let size = |examples: &[String]| examples.iter().map(String::len).sum::<usize>();
        let found = Finding { examples, ..Finding::new(entity, message) };
        let smallest =
            self.findings.entry((entity.to_owned(), rule)).or_insert_with(|| found.clone());
        if size(&found.examples) < size(&smallest.examples) {
            *smallest = found;
        }
    }
}

fn why(refusal: &Refusal) -> String {
    match refusal {
        Refusal::UnknownEntity => "unknown entity".into(),
        Refusal::MissingArgument(name) => format!("missing argument {name:?}"),
        Refusal::SurplusArgument(name) => format!("surplus argument {name:?}"),
    }
}

fn difference(one: &Plan, other: &Plan) -> String {
    if one.key != other.key {
        let [one, other] = [&one.key, &other.key].map(|key| guard::excerpt(key));
        return format!("the key {one:?} became {other:?}");
    }
    if one.tags != other.tags {
        return format!("the tags {:?} became {:?}", one.tags, other.tags);
    }
    "its row columns or its memo differ".into()
}

fn events() -> [Event; 11] {
    let sighting = Sighting {
        age_ms: 1_000,
        refresh_ms: 0,
        fresh_ms: 500,
        past_ms: 0,
        cost_ms: 20,
        negative: false,
    };
    [
        Event::Absent,
        Event::Found(sighting),
        Event::Bypassed,
        Event::StoreUnavailable,
        Event::LeaseGranted,
        Event::LeaseHeld(250),
        Event::Waited,
        Event::Loaded(Report { cost_ms: 20, bytes: 200, negative: false }),
        Event::LoadFailed(Failure { cause: Cause::Unavailable, at_hand: Some(sighting) }),
        Event::Filled,
        Event::FillRejected,
    ]
}
