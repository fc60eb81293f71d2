"""How reads are named. Two different reads never share a key; names are those of the built-in
policy, so exchanging one for the other leaves no key behind."""

from canonical import Digest, segment
from componentize_py_types import Err
from template import render
from wit_world.exports import types as t

KEY_BYTES_MAX = 256
KEY_ARGUMENTS_MAX = 8


def plan(settings, request):
    match request.subject:
        case t.Subject_Entity(name):
            return plan_entity(settings, name, request.arguments)
        case t.Subject_Query(query):
            return plan_query(settings, query, request.arguments)


def plan_entity(settings, name, given):
    entity = entity_of(settings, name)
    values = bind(entity, given)
    tags = (render(tag, lambda source: known(values[source.parameter])) for tag in entity.tags)
    return t.Plan(
        key=entity_key(settings.namespace, name, values),
        tags=sorted(set(tags)),
        row_columns=entity.row_columns,
        memo=begin(entity.index),
    )


def plan_query(settings, query, given):
    given = sorted(given, key=lambda argument: argument.name)
    for one, next_one in zip(given, given[1:]):
        if one.name == next_one.name:
            raise Err(t.Refusal_SurplusArgument(one.name))
    tags = sorted(set(query.tags))
    digest = Digest("corral:key:query:2")
    for text in [query.sql, str(query.ttl_ms), str(len(tags)), *tags]:
        digest.text(text)
    for argument in given:
        digest.text(argument.name).value(argument.value)
    return t.Plan(
        key=f"{settings.namespace}:~query:~{digest.hex()}",
        tags=tags,
        row_columns=[],
        memo=begin(settings.spare_of_query(query.ttl_ms)),
    )


def row_tags(settings, request, rows):
    """The tags that depend on rows, none twice."""
    if isinstance(request.subject, t.Subject_Query):
        return []
    entity = entity_of(settings, request.subject.value)
    values = bind(entity, request.arguments)

    def tag_of(tag, row):
        columns = dict.fromkeys(entity.row_columns) | dict(zip(entity.row_columns, row))
        return render(tag, lambda source: source.find(values, columns))

    tags = {tag_of(tag, row) for row in rows for tag in entity.row_tags}
    return sorted(tags - {None})


def entity_of(settings, name):
    entity = settings.entities.get(name)
    if entity is None:
        raise Err(t.Refusal_UnknownEntity())
    return entity


def begin(spare):
    return t.Memo(phase=0, attempts=0, since_ms=0, spare=spare)


def known(value):
    """A value as `render` wants it; null is one."""
    return (value,)


def bind(entity, given):
    """The values of the declared parameters, in their order."""
    values = {}
    for argument in given:
        if argument.name not in entity.params or argument.name in values:
            raise Err(t.Refusal_SurplusArgument(argument.name))
        values[argument.name] = argument.value
    for name in entity.params:
        if name not in values:
            raise Err(t.Refusal_MissingArgument(name))
    return [values[name] for name in entity.params]


def entity_key(namespace, entity, values):
    """Values spelt out, as long as a person would read them; else their digest."""
    name = f"{namespace}:{entity}"
    if len(values) <= KEY_ARGUMENTS_MAX and all(len(value or "") < KEY_BYTES_MAX for value in values):
        key = ":".join([name, *map(segment, values)])
        if len(key) <= KEY_BYTES_MAX:
            return key
    digest = Digest("corral:key:entity:1").text(entity)
    for value in values:
        digest.value(value)
    return f"{name}:~{digest.hex()}"
