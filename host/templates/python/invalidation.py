"""From a write to what it makes untrue: what the configuration says that it `touches`. What depends
on a row is touched as the row was and as it is: who moves from one team to another changes both."""

from template import render
from wit_world.exports import types as t


def targets(settings, change):
    write = settings.write(change.entity, change.write)
    if write is None:
        return []
    given = by_name(change.arguments)
    both = [columns for row in change.rows for columns in (row.before, row.after)]
    sides = [by_name(columns) for columns in both if columns]
    found = []
    for touch in write.touches:
        for columns in sides if touch.depends_on_row() else [{}]:
            target = target_of(touch, write, lambda source: find(source, write, given, columns))
            if target is not None and target not in found:
                found.append(target)
    return found


def by_name(columns):
    """Of two with one name the first counts, as in the built-in policy."""
    return {column.name: column.value for column in reversed(columns)}


def find(source, write, given, columns):
    """The value as a tuple of one, since null is a value; None: it is not known."""
    if source.column is not None:
        return source.find((), columns)
    name = write.params[source.parameter]
    return (given[name],) if name in given else None


def target_of(touch, write, find):
    if touch.tag:
        tag = render(touch.tag, find)
        return None if tag is None else t.Target(scope=t.Scope_Tag(tag), way=t.Way.REMOVED)
    values = [(name, find(source)) for name, source in touch.arguments]
    if any(value is None for _, value in values):
        return None
    arguments = [t.Argument(name=name, value=value[0]) for name, value in values]
    request = t.Request(subject=t.Subject_Entity(touch.entity), arguments=arguments)
    return t.Target(scope=t.Scope_Read(request), way=write.way)
