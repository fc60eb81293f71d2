# Support code of Corral: `corral policy new` writes it. Don't edit it; override a decision in
# app.py.
"""From a write to what it makes untrue: what the configuration says that it `touches`. A touch that
depends on a row is made for the row as it was and for the row as it is: a row that moves from one
team to another changes both."""

from contextlib import suppress

from corral.naming import known, render, sources_of, value_of
from wit_world.exports import types as t


def targets(entities, written):
    """The targets of a write's touches. A touch with an unknown value has no target."""
    entity = entities.get(written.entity)
    write = entity and by_name(entity.writes).get(written.write)
    if write is None:
        return []
    arguments = {name: given.value for name, given in by_name(written.arguments).items()}
    no_row = [known(arguments)]
    rows = [
        known(arguments, cells(side), cells(row.before))
        for row in written.rows
        for side in (row.before, row.after)
        if side
    ]
    found = []
    for touch in write.touches:
        for values in rows if depends_on_row(touch) else no_row:
            with suppress(KeyError):
                found.append(target_of(touch, write.way, entities, values))
    return found


def target_of(touch, way, entities, values):
    match touch:
        case t.Touch_Tag(template):
            return t.Target(t.Scope_Tag(render(template, values)), t.Way.REMOVED)
        case t.Touch_Read(read):
            arguments = [
                t.Argument(parameter.name, value_of(source, values))
                for parameter, source in zip(entities[read.entity].parameters, read.arguments)
            ]
            return t.Target(t.Scope_Read(t.Request(t.Subject_Entity(read.entity), arguments)), way)


def depends_on_row(touch):
    match touch:
        case t.Touch_Tag(template):
            sources = sources_of(template)
        case t.Touch_Read(read):
            sources = read.arguments
    return any(not isinstance(source, t.Source_Argument) for source in sources)


def cells(columns):
    """The values of the columns that are known; None is null."""
    return {
        name: None if isinstance(column.value, t.ColumnValue_Null) else column.value.value
        for name, column in by_name(columns).items()
        if not isinstance(column.value, t.ColumnValue_Unknown)
    }


def by_name(items):
    """Of two arguments with one name the first counts, as in the built-in policy."""
    return {item.name: item for item in reversed(items)}
