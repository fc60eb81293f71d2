"""Templates of tags, `user:{id}` and `team:{row.team_id}`, and what a write touches."""

import re
from dataclasses import dataclass

from canonical import Digest, segment

TAG_BYTES_MAX = 192
DIGEST_BYTES = 64


@dataclass
class Source:
    """`id` is the parameter of that name, `row.team_id` a column."""

    parameter: int = -1
    column: str | None = None

    def find(self, values, columns):
        """The value as a tuple of one, since null is a value; None: it is not known."""
        if self.column is None:
            return (values[self.parameter],)
        return (columns[self.column],) if self.column in columns else None


def parse_source(name, params):
    if name.startswith("row.") and len(name) > 4:
        return Source(column=name[4:])
    if name not in params:
        raise ValueError(f"there is no parameter `{name}`")
    return Source(parameter=params.index(name))


def parse_template(text, params):
    """The template's pieces: texts, and sources of values."""
    pieces = [piece for piece in re.split(r"(\{[^}]*\})", text) if piece]
    if not pieces:
        raise ValueError("must not be empty")
    return [parse_piece(piece, params) for piece in pieces]


def parse_piece(piece, params):
    if piece.startswith("{") and piece.endswith("}"):
        return parse_source(piece[1:-1], params)
    if not re.fullmatch(r"[A-Za-z0-9._@+:/-]*", piece):
        raise ValueError("letters, digits and `. _ @ + - : /` can be in a tag")
    return piece


def columns_of(template):
    return [piece.column for piece in template if isinstance(piece, Source) and piece.column]


def render(template, find):
    """The tag, where `find` knows every value; else None."""
    tag = ""
    for piece in template:
        if isinstance(piece, str):
            tag += piece
        elif (value := find(piece)) is None:
            return None
        else:
            tag += segment(*value)
    if len(tag) <= TAG_BYTES_MAX:
        return tag
    return f"{tag[: TAG_BYTES_MAX - DIGEST_BYTES]}~{Digest('corral:tag:1').text(tag).hex()}"


@dataclass
class Touch:
    """`user.profile(id)`: reads of that entity; `tag user:{id}`: whatever carries that tag."""

    tag: list | None = None
    entity: str = ""
    arguments: tuple = ()

    def depends_on_row(self):
        if self.tag:
            return bool(columns_of(self.tag))
        return any(source.column for _, source in self.arguments)


def parse_touch(text, params, signatures):
    if text.startswith("tag "):
        return Touch(tag=parse_template(text[4:].strip(), params))
    parts = re.fullmatch(r"([^(]*)\((.*)\)", text.strip())
    if not parts:
        raise ValueError("must be `entity(parameter, …)` or `tag template`")
    entity, listed = parts.groups()
    if entity not in signatures:
        raise ValueError(f"there is no entity `{entity}`")
    names = [name.strip() for name in listed.split(",")] if listed.strip() else []
    declared = signatures[entity]
    if len(names) != len(declared):
        raise ValueError(f"`{entity}` has {len(declared)} parameter(s)")
    sources = [parse_source(name, params) for name in names]
    return Touch(entity=entity, arguments=tuple(zip(declared, sources)))
