//! Whether a write touches every read that uses what the write changes, as far as the database
//! tells.
//!
//! | what is found | problem or note |
//! |---|---|
//! | a write, or a foreign key or trigger that it sets off, changes a table that a read uses, and no touch reaches the read | a problem: the read is stale for its lifetime |
//! | row-level security decides which rows a read sees, and the store's prefix is the default one | a problem: one role is answered with another one's rows |
//! | a trigger, rule or function that the database does not look into | a note: only its author knows what it changes or reads |
//! | the database does not tell of a statement, or this role may not ask | a note: the statement was not compared |

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::forms::meet;
use super::touched::ResolvedTouch;
use super::touches::{TouchFinding, read_of};
use crate::config::{Allowed, Config, EntityConfig, WriteConfig};
use crate::name::Prefix;
use crate::origin::{
    ChangedBy, Changes, Columns, Footprint, Origin, OriginError, Table, TableChange, TableUsage,
    Unseen,
};

/// `insufficient_privilege`: the role lacks the right, so it lacks it for every statement.
const FORBIDDEN: &str = "42501";

/// What the database says of the statements of a configuration.
pub(super) struct Relations<'c> {
    config: &'c Config,
    footprints: BTreeMap<&'c str, Footprint>,
    changes: BTreeMap<(&'c str, &'c str), Changes>,
    /// What could not be compared: the statement's path, and why. The path is `None` if the reason
    /// is not the statement's; such a reason is reported once.
    untold: BTreeSet<(Option<String>, String)>,
}

impl<'c> Relations<'c> {
    pub(super) fn new(config: &'c Config) -> Self {
        let (footprints, changes) = (BTreeMap::new(), BTreeMap::new());
        Self { config, footprints, changes, untold: BTreeSet::new() }
    }

    /// Asks what an entity's read uses.
    pub(super) async fn ask_read(&mut self, origin: &dyn Origin, entity: &'c EntityConfig) {
        let Some(read) = &entity.read else { return };
        match origin.reads_from(read).await {
            Ok(footprint) => _ = self.footprints.insert(&entity.name, footprint),
            Err(error) => self.is_untold(read_path(entity), error),
        }
    }

    /// Asks what a write changes.
    pub(super) async fn ask_write(
        &mut self,
        origin: &dyn Origin,
        entity: &'c EntityConfig,
        write: &'c WriteConfig,
    ) {
        match origin.changes(&write.statement).await {
            Ok(changes) => _ = self.changes.insert((&entity.name, &write.name), changes),
            Err(error) => self.is_untold(format!("{}.sql", write_path(entity, write)), error),
        }
    }

    /// What could not be compared, and why: a statement's path, or `None` for the origin as such,
    /// and a sentence.
    pub(super) fn untold(&self) -> impl Iterator<Item = (Option<&str>, String)> {
        self.untold.iter().map(|(path, reason)| {
            let what = match path {
                Some(_) => "this statement was",
                None => "some statements were",
            };
            let message = format!(
                "{what} not compared: whether writes touch every read that uses what they change \
                 can't be told: {reason}"
            );
            (path.as_deref(), message)
        })
    }

    /// Everything that is found.
    pub(super) fn found(&self) -> Vec<TouchFinding> {
        let mut found = Vec::new();
        for entity in self.config.entities.values() {
            found.extend(self.of_read(entity));
            for write in entity.writes.values() {
                if let Some(changes) = self.changes.get(&(&*entity.name, &*write.name)) {
                    found.extend(self.of_write(&write_path(entity, write), write, changes));
                }
            }
        }
        found
    }

    fn is_untold(&mut self, path: String, error: OriginError) {
        self.untold.insert(match error {
            OriginError::Rejected { code, message } if code == FORBIDDEN => (None, message),
            OriginError::Rejected { message, .. } => (Some(path), message),
            OriginError::Unavailable(_)
            | OriginError::Timeout(_)
            | OriginError::Undone { .. }
            | OriginError::TooLarge => (None, error.to_string()),
        });
    }

    fn of_read(&self, entity: &EntityConfig) -> Vec<TouchFinding> {
        let Some(footprint) = self.footprints.get(&*entity.name) else { return Vec::new() };
        let add = |message, is_note| TouchFinding { path: read_path(entity), message, is_note };
        let secured = footprint.tables.iter().find(|(_, usage)| usage.row_security);
        let secured = secured.filter(|_| self.is_prefix_common()).map(|(table, _)| {
            let message = format!(
                "row-level security of {table} decides which rows this role sees, and a host of \
                 another role on the same Redis would answer with these rows; give each role a \
                 prefix of its own: [store] prefix = \"corral-reader:\""
            );
            add(message, false)
        });
        let unseen = listed(&footprint.unseen).filter(|_| entity.depends.is_empty());
        let unseen = unseen.map(|what| {
            let message = format!(
                "{what} may read tables that the database does not name: every write that changes \
                 one of them has to touch {}, and that can't be compared; \
                 name every table that the read uses in depends = [\"…\"]",
                entity.name
            );
            add(message, true)
        });
        let unknown = entity.depends.iter().filter(|name| !self.is_known(name)).map(|name| {
            let message = format!(
                "no statement of the configuration reads or changes the table {name} of depends; \
                 is it spelt as in the database?"
            );
            add(message, true)
        });
        secured.into_iter().chain(unseen).chain(unknown).collect()
    }

    /// Whether a statement of the configuration reads or changes a table of this name.
    fn is_known(&self, name: &str) -> bool {
        let read = self.footprints.values().flat_map(|footprint| footprint.tables.keys());
        let changed = self.changes.values().flat_map(|changes| changes.tables.keys());
        read.chain(changed).any(|table| table.is_called(name))
    }

    /// Whether names in the store may begin as another host's do: the store is shared, and the
    /// prefix is the default one.
    fn is_prefix_common(&self) -> bool {
        let store = &self.config.store;
        store.url.is_some() && store.prefix == Prefix::default()
    }

    fn of_write(&self, path: &str, write: &WriteConfig, changes: &Changes) -> Vec<TouchFinding> {
        if write.allowed.contains(&Allowed::StaleReads) {
            return Vec::new();
        }
        let mut found = self.unreached(path, write, changes);
        found.extend(unseen_changes(path, changes));
        found
    }

    /// The reads that a write makes untrue and does not touch.
    fn unreached(&self, path: &str, write: &WriteConfig, changes: &Changes) -> Vec<TouchFinding> {
        // A write that touches nothing, without `touches = "nothing"`, is already one problem of
        // its own, whatever it changes.
        if write.touches.is_empty() && !write.touches_nothing {
            return Vec::new();
        }
        let touches: Vec<ResolvedTouch<'_>> = write.touches.iter().map(ResolvedTouch::of).collect();
        let is_unreached =
            |entity: &&EntityConfig| !touches.iter().any(|touch| reaches(touch, entity));
        let entities = self.config.entities.values().filter(is_unreached);
        let stale = entities.filter_map(|entity| {
            let what = self.concerning(changes, entity)?;
            let (path, message) = (format!("{path}.touches"), stale(write, entity, &what));
            Some(TouchFinding { path, message, is_note: false })
        });
        stale.collect()
    }

    /// How a write changes what a read uses, in words; `None` if it does not.
    fn concerning(&self, changes: &Changes, entity: &EntityConfig) -> Option<String> {
        let concerning = changes.tables.iter().filter_map(|(table, change)| {
            let usage = self.usage(entity, table)?;
            change.concerns(&usage).then(|| phrase(table, change, &usage))
        });
        let phrases: Vec<String> = concerning.collect();
        (!phrases.is_empty()).then(|| phrases.join(" and "))
    }

    /// How a read uses a table; `None` if it does not. Where `depends` is given it counts alone, and
    /// each of its tables as a whole.
    fn usage(&self, entity: &EntityConfig, table: &Table) -> Option<Cow<'_, TableUsage>> {
        let derived = self.footprints.get(&*entity.name).and_then(|found| found.tables.get(table));
        if entity.depends.is_empty() {
            return derived.map(Cow::Borrowed);
        }
        let whole = TableUsage { columns: Columns::All, row_security: false };
        let is_declared = entity.depends.iter().any(|name| table.is_called(name));
        is_declared.then_some(Cow::Owned(whole))
    }
}

fn read_path(entity: &EntityConfig) -> String {
    format!("entity.{}.read", entity.name)
}

fn write_path(entity: &EntityConfig, write: &WriteConfig) -> String {
    format!("entity.{}.write.{}", entity.name, write.name)
}

/// Whether a touch makes a read untrue: it names the read, or a tag that the read carries.
fn reaches(touch: &ResolvedTouch<'_>, entity: &EntityConfig) -> bool {
    touch.is_read_of(&entity.name)
        || touch
            .tag()
            .is_some_and(|tag| entity.tags.iter().any(|carried| meet(carried.pieces(), tag)))
}

fn phrase(table: &Table, change: &TableChange, usage: &TableUsage) -> String {
    let what = match (change.inserts || change.deletes, &change.updates, &usage.columns) {
        (false, Columns::Some(set), Columns::Some(used)) => {
            let both: Vec<&str> = set.intersection(used).map(String::as_str).collect();
            format!("{} of {table}", both.join(", "))
        }
        (true, _, _) | (_, Columns::All, _) | (_, _, Columns::All) => table.to_string(),
    };
    match &change.cause {
        ChangedBy::Statement => what,
        ChangedBy::ForeignKey(Some(name)) => format!("{what} (by the foreign key {name})"),
        ChangedBy::ForeignKey(None) => format!("{what} (by a foreign key)"),
        ChangedBy::Trigger(name) => format!("{what} (by the trigger {name})"),
    }
}

fn stale(write: &WriteConfig, entity: &EntityConfig, what: &str) -> String {
    let (name, read) = (&entity.name, read_of(entity, write));
    let subject = match write.touches_nothing {
        true => "it says that it touches nothing, and changes",
        false => "it changes",
    };
    let carried: Vec<String> = entity.tags.iter().map(|tag| format!("{:?}", tag.text())).collect();
    let or_tag = match carried.is_empty() {
        true => String::new(),
        false => format!(" or a tag that it carries ({})", carried.join(", ")),
    };
    let ttl = humantime::format_duration(entity.ttl);
    format!(
        "{subject} {what}, which {name} uses, and touches nothing of {name}: the read stays as it \
         was for its lifetime ({ttl}); touch it ({read:?}){or_tag}; if reads may stay stale after this \
         write, write allow = [\"stale-reads\"] here"
    )
}

fn unseen_changes(path: &str, changes: &Changes) -> Option<TouchFinding> {
    let message = format!(
        "{} may change other tables, and the database does not tell which; touch every read that \
         uses one of them; if there is none, or reads may stay stale after this write, write \
         allow = [\"stale-reads\"] here",
        listed(&changes.unseen)?
    );
    Some(TouchFinding { path: format!("{path}.sql"), message, is_note: true })
}

/// `None` if there is nothing.
fn listed(unseen: &[Unseen]) -> Option<String> {
    let texts: Vec<String> = unseen.iter().map(ToString::to_string).collect();
    (!texts.is_empty()).then(|| texts.join(" and "))
}

#[cfg(test)]
#[path = "relations/tests.rs"]
mod tests;
