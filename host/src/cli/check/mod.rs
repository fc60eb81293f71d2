//! `corral check`: everything that serving needs, looked at without serving.

mod columns;
mod forms;
mod ports;
mod relations;
mod statement;
mod touched;
mod touches;

use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use futures_util::future::try_join_all;
use tokio::time::timeout;

use crate::config::{Config, Environment, ProblemAt, locate};
use crate::origin::{OriginError, OutputColumn, Prepared};
use crate::policy::prove::gate::{self, Rejection};
use crate::policy::{builtin, read_file};
use crate::service::{conditions, connect_origin, connect_queries, connect_store};
use crate::store::{Audit, RedisCluster, SlotMap, StoreError, Untold, audit, audit_member};

use super::cache::engine;
use super::{Failed, load, say};
use columns::Descriptions;
use relations::Relations;
use touches::TouchFinding;

/// How long the nodes of a store may take to tell which of them has what.
const FOUND_WITHIN: Duration = Duration::from_secs(2);

/// Asks every node of a store.
async fn answers(map: &SlotMap) -> Result<(), StoreError> {
    if map.nodes.is_empty() {
        return Err(StoreError::Unavailable("no node of the store is found".to_owned()));
    }
    try_join_all(map.nodes.iter().map(|node| node.store.beat(&[]))).await?;
    Ok(())
}

/// What was looked at, and what was found.
struct CheckResults<'a> {
    text: String,
    file: String,
    config: &'a Config,
    environment: Environment,
    problems: Vec<ProblemAt>,
    /// Findings that may be intended, and are reported all the same.
    notes: Vec<ProblemAt>,
}

pub(super) async fn run(path: &Path) -> Result<(), Failed> {
    let config = load(path)?;
    let mut findings = CheckResults {
        text: std::fs::read_to_string(path)?,
        file: path.display().to_string(),
        config: &config,
        environment: Environment::of_process(),
        problems: Vec::new(),
        notes: Vec::new(),
    };
    findings.touches();
    findings.ports().await;
    findings.policy()?;
    findings.store().await;
    findings.origin().await;
    findings.queries().await;
    findings.report()
}

impl CheckResults<'_> {
    /// A problem at a path of the file, such as `entity.user.profile.read`.
    fn add(&mut self, path: &str, message: impl Into<String>) {
        let found = locate(&self.text, &self.file, &self.environment, path, message.into());
        self.problems.push(found);
    }

    /// A finding at a path of the file that may be intended.
    fn note(&mut self, path: &str, message: impl Into<String>) {
        let found = locate(&self.text, &self.file, &self.environment, path, message.into());
        self.notes.push(found);
    }

    fn touches(&mut self) {
        touches::found(self.config).into_iter().for_each(|found| self.found(found));
    }

    fn found(&mut self, TouchFinding { path, message, is_note }: TouchFinding) {
        match is_note {
            true => self.note(&path, message),
            false => self.add(&path, message),
        }
    }

    fn policy(&mut self) -> Result<(), Failed> {
        let engine = engine(self.config.policy.limits.clone())?;
        let bytes = match &self.config.policy.component {
            None => builtin().to_vec(),
            Some(path) => match read_file(path) {
                Ok(bytes) => bytes,
                Err(error) => {
                    let message = format!("{}: {error}", path.display());
                    self.add("policy.component", message);
                    return Ok(());
                }
            },
        };
        match gate::examine(&engine, &bytes, &conditions(self.config)) {
            Ok(passed) => {
                let report = passed.report();
                say(format_args!(
                    "policy: {}@{} passed the gate, {} decisions",
                    report.name, report.version, report.decisions
                ));
                if !report.explored.complete {
                    say(format_args!("policy: {}", report.explored));
                }
            }
            Err(rejection) => self.refused(&rejection),
        }
        Ok(())
    }

    fn refused(&mut self, rejection: &Rejection) {
        if rejection.stage == gate::Stage::Settings && !rejection.findings.is_empty() {
            for finding in &rejection.findings {
                self.add(&finding.at, finding.message.clone());
            }
        } else {
            self.add("policy.component", rejection.to_string());
        }
    }

    async fn store(&mut self) {
        let store = match connect_store(self.config) {
            Ok(store) => store,
            Err(error) => return self.add("store.url", error.to_string()),
        };
        // A cluster's nodes are found first; a single node is known.
        let map = store.map();
        if map.nodes.is_empty() {
            let _in_time = timeout(FOUND_WITHIN, store.changed(&map)).await;
        }
        let map = store.map();
        match answers(&map).await {
            Ok(()) => say(format_args!("store: {} answers", store.kind())),
            // The audit says what is wrong with the server, the error only that it does not answer.
            Err(error) if self.config.store.url.is_none() => {
                return self.add("store.url", error.to_string());
            }
            Err(error) => {
                let before = self.problems.len();
                self.audit(&map).await;
                if self.problems.len() == before {
                    self.add("store.url", error.to_string());
                }
                return;
            }
        }
        self.audit(&map).await;
    }

    /// Looks at the server, or at each primary of a cluster.
    async fn audit(&mut self, map: &SlotMap) {
        let Some(url) = &self.config.store.url else { return };
        let prefix = &self.config.store.prefix;
        if !RedisCluster::is_meant_by(&url.0) {
            return self.audited(None, audit(&url.0, prefix).await);
        }
        for node in &map.nodes {
            let audited = audit_member(&url.0, &node.id, prefix).await;
            self.audited(Some(&node.id), audited);
        }
    }

    fn audited(&mut self, node: Option<&str>, audited: Result<Audit, StoreError>) {
        let of = node.map_or_else(String::new, |node| format!(" {node}"));
        let complaint_of = node.map_or_else(String::new, |node| format!("{node}: "));
        match audited {
            Ok(Audit { program, keys, complaints, notes, untold }) => {
                say(format_args!("store{of}: {program}, {keys} keys of ours looked at"));
                notes.iter().for_each(|note| say(format_args!("store{of}: {note}")));
                for complaint in complaints {
                    self.add("store.url", format!("{complaint_of}{complaint}"));
                }
                untold.into_iter().for_each(|why| self.near(why));
            }
            Err(error) => self.add("store.url", format!("{complaint_of}{error}")),
        }
    }

    /// A near cache needs a store that tells of changes.
    fn near(&mut self, why: Untold) {
        let entities = &self.config.entities;
        match entities.values().find(|entity| !entity.near.is_zero()) {
            Some(entity) => {
                let (name, cure) = (&entity.name, why.cure());
                let lost =
                    format!("so entity {name:?} gets no near cache; {cure}, or leave out near");
                self.add("store.url", format!("it does not tell of changes, {lost}"));
            }
            // That it tells nothing at all was said before.
            None if why == Untold::Resp2 => {}
            None => say(format_args!(
                "store: it does not tell of changes, so no entity can have a near cache; {}",
                why.cure()
            )),
        }
    }

    async fn origin(&mut self) {
        let origin = match connect_origin(self.config) {
            Ok(Some(origin)) => origin,
            Ok(None) => return say("origin: none is configured"),
            Err(error) => return self.add("origin.url", error.to_string()),
        };
        if let Err(error) = origin.ping().await {
            return self.add("origin.url", error.to_string());
        }
        say(format_args!("origin: {} answers", origin.kind()));
        let config = self.config;
        let mut answers = Descriptions::new(config, origin.kind());
        let mut relations = Relations::new(config);
        let mut prepared = 0;
        for (name, entity) in &config.entities {
            if let Some(read) = &entity.read {
                let result = origin.prepare_read(read).await;
                let needed = entity.tagged_columns();
                let path = format!("entity.{name}.read");
                if let Some(columns) = self.statement(&path, result, &needed, "tags") {
                    answers.read(name, columns);
                    relations.ask_read(&*origin, entity).await;
                }
                prepared += 1;
            }
            for (write, declared) in &entity.writes {
                let result = origin.prepare_write(&declared.statement).await;
                let (path, needed) =
                    (format!("entity.{name}.write.{write}.sql"), declared.touched_columns());
                if let Some(columns) = self.statement(&path, result, &needed, "touches") {
                    answers.write(name, write, columns);
                    relations.ask_write(&*origin, entity, declared).await;
                }
                prepared += 1;
            }
        }
        for (path, message) in answers.problems() {
            self.add(&path, message);
        }
        self.relations(&relations);
        say(format_args!("statements: {prepared} prepared"));
    }

    async fn queries(&mut self) {
        let query = &self.config.query;
        if !query.enabled || query.url.is_none() {
            return;
        }
        let answered = match connect_queries(self.config) {
            Ok(Some(origin)) => origin.ping().await.map_err(|error| error.to_string()),
            Ok(None) => return,
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = answered {
            self.add("query.url", error);
        }
    }

    fn relations(&mut self, relations: &Relations<'_>) {
        relations.found().into_iter().for_each(|found| self.found(found));
        for (path, message) in relations.untold() {
            match path {
                Some(path) => self.note(path, message),
                None => self.note("origin.url", message),
            }
        }
    }

    /// The columns that a statement answers. `needed` are those that its tags or touches name.
    fn statement(
        &mut self,
        path: &str,
        result: Result<Prepared, OriginError>,
        needed: &[String],
        of: &str,
    ) -> Option<Vec<OutputColumn>> {
        match result {
            Ok(Prepared { columns, complaints, notes, varies: _ }) => {
                complaints.into_iter().for_each(|c| self.add(path, c));
                notes.iter().for_each(|note| say(format_args!("{path}: {note}")));
                let missing =
                    needed.iter().filter(|name| !columns.iter().any(|c| c.name == **name));
                for name in missing {
                    let how = if of == "touches" { "with RETURNING" } else { "in its SELECT" };
                    let why = format!("its {of} need the column `{name}`: answer it, {how}");
                    self.add(path, why);
                }
                Some(columns)
            }
            Err(error) => {
                self.add(path, error.to_string());
                None
            }
        }
    }

    fn report(mut self) -> Result<(), Failed> {
        self.notes.sort();
        self.notes.iter().for_each(|note| say(format_args!("note: {note}")));
        if self.problems.is_empty() {
            say(format_args!("{}: ready to serve", self.file));
            return Ok(());
        }
        let errors = crate::config::ConfigErrors::new(self.problems);
        Err(Failed::Run(anyhow!("{errors}")))
    }
}
