//! What a write makes untrue: the reads and tags that it declares.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::settings::{Settings, render};
use crate::{Argument, Change, Request, Scope, Subject, Target, Way};

/// Values by their source: `id`, or `row.team`.
type Side<'c> = &'c [Argument];

impl Settings {
    /// What a change plainly makes untrue.
    pub fn invalidate(&self, change: &Change) -> Vec<Target> {
        let write = self
            .entity(&change.entity)
            .and_then(|(_, entity)| entity.writes.iter().find(|write| write.name == change.write));
        let Some(write) = write else { return Vec::new() };
        let way = if write.through { Way::Refreshed } else { Way::Removed };
        let rows = change.rows.iter().flat_map(|row| [&row.before, &row.after]);
        let rows: Vec<Side<'_>> =
            rows.map(Vec::as_slice).filter(|columns| !columns.is_empty()).collect();
        let mut targets = Vec::new();
        for touch in &write.touches {
            let sides: &[Side<'_>] = if touch.contains("row.") { &rows } else { &[&[]] };
            targets.extend(sides.iter().filter_map(|side| self.target(touch, way, change, side)));
        }
        targets
    }

    fn target(&self, touch: &str, way: Way, change: &Change, side: Side<'_>) -> Option<Target> {
        let lookup = |source: &str| match source.strip_prefix("row.") {
            Some(column) => find(side, column),
            None => find(&change.arguments, source),
        };
        if let Some(template) = touch.strip_prefix("tag ") {
            let tag = render(template.trim(), &lookup)?;
            return Some(Target { scope: Scope::Tag(tag), way: Way::Removed });
        }
        let (name, list) = touch.trim().strip_suffix(')')?.split_once('(')?;
        let (_, entity) = self.entity(name)?;
        let sources = list.split(',').map(str::trim).filter(|source| !source.is_empty());
        let arguments = entity.params.iter().zip(sources).map(|(param, source)| {
            let value = lookup(source)?.map(ToString::to_string);
            Some(Argument { name: param.clone(), value })
        });
        let arguments = arguments.collect::<Option<Vec<_>>>()?;
        let subject = Subject::Entity(name.to_string());
        Some(Target { scope: Scope::Read(Request { subject, arguments }), way })
    }
}

fn find<'v>(arguments: &'v [Argument], name: &str) -> Option<Option<&'v str>> {
    arguments.iter().find(|argument| argument.name == name).map(|found| found.value.as_deref())
}
