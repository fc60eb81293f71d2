# Support code of Corral: `corral policy new` writes it. Don't edit it; override a decision in
# app.py.
"""How reads are named. Two different reads never share a key. Names are those of the built-in
policy, so after an exchange of one policy for the other every stored value is found."""

from contextlib import suppress

from componentize_py_types import Err
from corral.canonical import Digest, segment, shortened
from wit_world.exports import types as t

KEY_BYTES_MAX = 256
KEY_ARGUMENTS_MAX = 8


def of_entity(namespace, entity, arguments):
    """The key of an entity's read, and the tags that its arguments determine."""
    values = bind([parameter.name for parameter in entity.parameters], arguments)
    key = entity_key(namespace, entity.name, list(values.values()))
    return key, rendered(entity.tags, known(values))


def of_query(namespace, query, arguments):
    """The key of an ad-hoc query, and its tags."""
    values = bind(sorted({argument.name for argument in arguments}), arguments)
    tags = sorted(set(query.tags))
    digest = Digest("corral:key:query:2")
    for text in [query.sql, str(query.ttl_ms), str(len(tags)), *tags]:
        digest.text(text)
    for name, value in values.items():
        digest.text(name).value(value)
    return f"{namespace}:~query:~{digest.hex()}", tags


def row_columns(entity):
    """The columns that tags name, none twice."""
    return list(dict.fromkeys(column for tag in entity.tags for column in columns_of(tag)))


def row_tags(entity, arguments, rows):
    """The tags that depend on rows, none twice. A row shorter than its columns ends in nulls."""
    values = bind([parameter.name for parameter in entity.parameters], arguments)
    templates = [tag for tag in entity.tags if columns_of(tag)]
    columns = row_columns(entity)
    tags = set()
    for row in rows:
        cells = dict.fromkeys(columns) | dict(zip(columns, row))
        tags.update(rendered(templates, known(values, cells)))
    return sorted(tags)


def bind(names, arguments):
    """The values of these names, in their order. Each has to be given once, and no others."""
    given = {}
    for argument in arguments:
        if argument.name not in names or argument.name in given:
            raise Err(t.Refusal_SurplusArgument(argument.name))
        given[argument.name] = argument.value
    for name in names:
        if name not in given:
            raise Err(t.Refusal_MissingArgument(name))
    return {name: given[name] for name in names}


def entity_key(namespace, entity, values):
    """Values spelt out as long as the key stays readable; otherwise their digest."""
    name = f"{namespace}:{entity}"
    short = all(len(value or "") <= KEY_BYTES_MAX for value in values)
    if short and len(values) <= KEY_ARGUMENTS_MAX:
        key = ":".join([name, *map(segment, values)])
        if len(key) <= KEY_BYTES_MAX:
            return key
    digest = Digest("corral:key:entity:1").text(entity)
    for value in values:
        digest.value(value)
    return f"{name}:~{digest.hex()}"


def known(arguments, columns=None, before=None):
    """The values of sources: arguments, columns of a row, columns of the row as it was."""
    return {
        t.Source_Argument: arguments,
        t.Source_Column: columns or {},
        t.Source_OldColumn: before or {},
    }


def value_of(source, values):
    """The value, None for null. Raises KeyError if the value is not known."""
    return values[type(source)][source.value]


def render(template, values):
    """The tag. Raises KeyError if one of its values is not known."""
    text = ""
    for piece in template:
        match piece:
            case t.Piece_Text(literal):
                text += literal
            case t.Piece_Value(source):
                text += segment(value_of(source, values))
    return shortened(text)


def rendered(templates, values):
    """The tags all of whose values are known."""
    tags = []
    for template in templates:
        with suppress(KeyError):
            tags.append(render(template, values))
    return tags


def sources_of(template):
    return [piece.value for piece in template if isinstance(piece, t.Piece_Value)]


def columns_of(template):
    sources = sources_of(template)
    return [source.value for source in sources if isinstance(source, t.Source_Column)]
