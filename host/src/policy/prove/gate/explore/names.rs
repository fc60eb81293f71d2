//! Names: every read has a key of its own that is fit for the store and the same at all times.

use std::collections::HashMap;

use super::super::requests::{VALUES, queries, reordered, requests, shown};
use super::super::{Conditions, Finding, Hot, HotRead, Renamed};
use super::asked::{Unclear, Which};
use super::findings::Rule;
use super::{Exploration, until};
use crate::policy::run::guard;
use crate::policy::{Memo, Named, Plan, Refusal, Request, Row, Subject};

/// What findings call the reads that no entity describes.
pub(super) const QUERIES: &str = "ad-hoc queries";

/// Most memos of one entity's plans whose flights are explored.
const MEMOS_PER_ENTITY: usize = 4;

/// The keys that were given so far, each with its read.
#[derive(Debug, Default)]
pub(super) struct KnownKeys(HashMap<String, Request>);

/// A read that is asked again, in a way that must make no difference.
struct Repeat<'a> {
    which: Which,
    request: &'a Request,
    rule: Rule,
    how: &'static str,
}

/// What the reads of one entity showed.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The different memos of its plans.
    pub(super) memos: Vec<Memo>,
    /// A read whose tags depend on the row, and how many columns they need; `None` if there is no
    /// such read.
    columns: Option<(Request, usize)>,
}

impl Known {
    fn note(&mut self, request: &Request, plan: Plan) {
        if self.memos.len() < MEMOS_PER_ENTITY && !self.memos.contains(&plan.memo) {
            self.memos.push(plan.memo);
        }
        if !plan.row_columns.is_empty() {
            self.columns.get_or_insert_with(|| (request.clone(), plan.row_columns.len()));
        }
    }
}

impl Exploration<'_> {
    /// Examines the generated reads of every entity and of ad-hoc queries, some of each entity
    /// before the rest of any. Returns what is known about each entity, in the order of the
    /// entities.
    pub(super) fn reads(&mut self, conditions: &Conditions) -> Vec<Known> {
        let mut reads: Vec<(&str, Vec<Request>)> = conditions
            .entities()
            .iter()
            .map(|entity| (entity.name.as_str(), requests(entity)))
            .collect();
        if conditions.query.is_some() {
            reads.push((QUERIES, queries()));
        }
        let mut known: Vec<Known> = reads.iter().map(|_| Known::default()).collect();
        let most = reads.iter().map(|(_, reads)| reads.len()).max().unwrap_or(0);
        self.progress.reads.of += reads.iter().map(|(_, reads)| reads.len()).sum::<usize>();
        let in_turn = (0..most).flat_map(|at| (0..reads.len()).map(move |entity| (entity, at)));
        for (entity, at) in in_turn {
            let (name, reads) = &reads[entity];
            let Some(request) = reads.get(at) else { continue };
            if self.asked.is_over(until::READS) {
                break;
            }
            self.progress.reads.done += 1;
            if let Some(plan) = self.read(name, request) {
                known[entity].note(request, plan);
            }
        }
        for ((name, _), known) in reads.iter().zip(&known) {
            if let Some((request, columns)) = &known.columns {
                self.row_tags(name, request, *columns);
            }
        }
        known
    }

    /// Examines the reads that are hot. A candidate may give them other keys than they have now.
    pub(super) fn hot_reads(&mut self, hot: &[HotRead]) {
        self.progress.reads.of += hot.len();
        for HotRead { request, key } in hot {
            let Subject::Entity(entity) = &request.subject else { continue };
            if self.asked.is_over(until::HOT) {
                return;
            }
            self.progress.reads.done += 1;
            let Some(plan) = self.read(entity, request) else { continue };
            self.hot.note(request, key.as_str(), plan.key);
        }
    }

    /// One read, asked in every way in which the answer must be the same.
    fn read(&mut self, entity: &str, request: &Request) -> Option<Plan> {
        let plan = self.plan(Which::First, entity, request)?;
        if let Err(illegal) = Named::try_new(plan.clone()) {
            self.find(entity, Rule::Legal, illegal.to_string(), request);
        }
        self.distinct(entity, request, &plan.key);
        let again = |which, request, rule, how| Repeat { which, request, rule, how };
        let stable = again(Which::First, request, Rule::Stable, "asked twice");
        let alike = again(Which::Second, request, Rule::Alike, "asked of another instance");
        self.same(entity, &plan, &stable);
        self.same(entity, &plan, &alike);
        if request.arguments.len() > 1 {
            let turned = reordered(request);
            let how = "with its arguments in another order";
            self.same(entity, &plan, &again(Which::Second, &turned, Rule::Unordered, how));
        }
        Some(plan)
    }

    fn distinct(&mut self, entity: &str, request: &Request, key: &str) {
        match self.keys.0.get(key) {
            Some(other) if other == request => {}
            Some(other) => {
                let message = format!("two reads share the key {:?}", guard::excerpt(key));
                let examples = vec![shown(other), shown(request)];
                let found = Finding { examples, ..Finding::new(entity, message) };
                self.findings.keep(Rule::Distinct, found);
            }
            None => {
                self.keys.0.insert(key.to_owned(), request.clone());
            }
        }
    }

    fn same(&mut self, entity: &str, plan: &Plan, again: &Repeat<'_>) {
        let Some(other) = self.plan(again.which, entity, again.request) else { return };
        if other != *plan {
            let message = format!("{}, {}", again.how, difference(plan, &other));
            self.find(entity, again.rule, message, again.request);
        }
    }

    /// The plan of a declared read; `None` if the policy gives none, which is noted as a finding.
    pub(super) fn plan(&mut self, which: Which, entity: &str, request: &Request) -> Option<Plan> {
        match self.asked.plan(which, request) {
            Ok(Ok(plan)) => Some(plan),
            Ok(Err(refusal)) => {
                let message = format!("it refuses a read that is declared: {}", why(&refusal));
                self.find(entity, Rule::Knows, message, request);
                None
            }
            Err(trap) => {
                self.find(entity, Rule::Answers, trap.to_string(), request);
                None
            }
        }
    }

    /// Examines the tags of a read's rows. Each row counts as a read of its own: a tag that was not
    /// examined may not be legal.
    fn row_tags(&mut self, entity: &str, request: &Request, columns: usize) {
        self.progress.reads.of += VALUES.len();
        for value in VALUES {
            let row: Row = vec![value.map(str::to_owned); columns];
            if self.asked.is_over(until::READS) {
                return;
            }
            self.progress.reads.done += 1;
            let problem = match self.tags_of(entity, request, &[row]) {
                None => return,
                Some(tags) => guard::tags(&tags).err(),
            };
            if let Some(illegal) = problem {
                let message = format!("with {value:?} in the row, {illegal}");
                self.find(entity, Rule::RowTags, message, request);
            }
        }
    }

    /// The tags of a read's rows; `None` if the policy gives none, which is noted as a finding. The
    /// text of the tags is not checked here.
    pub(super) fn tags_of(
        &mut self,
        entity: &str,
        request: &Request,
        rows: &[Row],
    ) -> Option<Vec<String>> {
        let (rule, message) = match self.asked.row_tags(request, rows) {
            Ok(Ok(tags)) => return Some(tags),
            Ok(Err(refusal)) => (Rule::RowTags, format!("with {rows:?}, {}", why(&refusal))),
            Err(Unclear::Trap(trap)) => (Rule::Answers, trap.to_string()),
            Err(Unclear::Differs { how, one, other }) => {
                let message = format!("{how} for the tags of a row, {one:?} became {other:?}");
                (Rule::Stable, message)
            }
        };
        self.find(entity, rule, message, request);
        None
    }

    pub(super) fn find(&mut self, entity: &str, rule: Rule, message: String, request: &Request) {
        let examples = vec![shown(request)];
        self.findings.keep(rule, Finding { examples, ..Finding::new(entity, message) });
    }
}

impl Hot {
    pub(in crate::policy::prove::gate) fn note(
        &mut self,
        request: &Request,
        key: &str,
        becomes: String,
    ) {
        self.asked += 1;
        if becomes != key {
            self.renamed += 1;
            let renamed = || Renamed { read: shown(request), key: key.to_owned(), becomes };
            self.example.get_or_insert_with(renamed);
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
