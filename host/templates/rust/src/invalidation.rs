//! From a write to what it makes untrue: what the configuration says that it `touches`. What depends
//! on a row is touched as the row was and as it is: who moves from one team to another changes both.

use crate::bindings::exports::corral::policy::types::{
    Argument, Change, Request, Scope, Subject, Target, Way,
};
use crate::settings::{Settings, Write};
use crate::template::{Source, Touch};

pub fn targets(settings: &Settings, change: &Change) -> Vec<Target> {
    let Some(write) = settings.write(&change.entity, &change.write) else {
        return Vec::new();
    };
    let both = change.rows.iter().flat_map(|row| [&row.before, &row.after]);
    let sides: Vec<&[Argument]> = both
        .map(Vec::as_slice)
        .filter(|columns| !columns.is_empty())
        .collect();
    let mut targets = Vec::new();
    for touch in &write.touches {
        let sides = if touch.depends_on_row() {
            sides.as_slice()
        } else {
            &[&[] as &[Argument]]
        };
        for columns in sides {
            let target = target(touch, write, &change.arguments, columns);
            targets.extend(target.filter(|target| !targets.contains(target)));
        }
    }
    targets
}

fn target(
    touch: &Touch,
    write: &Write,
    given: &[Argument],
    columns: &[Argument],
) -> Option<Target> {
    let known = |source: &Source| match source {
        Source::Parameter(at) => find(given, write.params.get(*at)?),
        Source::Column(name) => find(columns, name),
    };
    match touch {
        Touch::Tag(tag) => Some(Target {
            scope: Scope::Tag(tag.render(known)?),
            way: Way::Removed,
        }),
        Touch::Read { entity, arguments } => {
            let value = |(name, source): &(String, Source)| {
                let value = known(source)?.map(str::to_owned);
                Some(Argument {
                    name: name.clone(),
                    value,
                })
            };
            let arguments = arguments.iter().map(value).collect::<Option<_>>()?;
            let request = Request {
                subject: Subject::Entity(entity.clone()),
                arguments,
            };
            Some(Target {
                scope: Scope::Read(request),
                way: write.way,
            })
        }
    }
}

fn find<'a>(columns: &'a [Argument], name: &str) -> Option<Option<&'a str>> {
    columns
        .iter()
        .find(|column| column.name == name)
        .map(|column| column.value.as_deref())
}
