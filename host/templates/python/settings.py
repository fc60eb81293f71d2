"""What the host hands over once: `[policy.settings]` of the configuration, and beside it what a
policy must know of the entities. Every problem is reported at once, with its path."""

import json
import re
from dataclasses import dataclass

from componentize_py_types import Err
from template import columns_of, parse_template, parse_touch
from wit_world.exports import types as t

# In a memo's `spare`: below it the index of an entity, from it on the lifetime of a query.
SPARE_QUERY = 65_536

# 30 days.
DURATION_MAX_MS = 2_592_000_000

KNOWN = ["namespace", "jitter", "early_refresh", "lease_ms", "query", "entities"]


@dataclass
class Terms:
    ttl_ms: int
    negative_ttl_ms: int
    stale_while_revalidate_ms: int = 0
    stale_if_error_ms: int = 0


@dataclass
class Write:
    params: list
    way: t.Way
    touches: list


@dataclass
class Entity:
    index: int
    params: list
    terms: Terms
    tags: list
    row_tags: list
    row_columns: list
    writes: dict


class Settings:
    def __init__(self, text):
        self.problems = []
        declared = self.parse(text)
        for name in declared:
            if name not in KNOWN:
                self.reject(name, f"is unknown here; known are {', '.join(KNOWN)}")
        self.namespace = declared.get("namespace", "v1")
        if not re.fullmatch(r"[a-z0-9._-]{1,32}", str(self.namespace)):
            self.reject("namespace", "must be 1 to 32 of a-z, 0-9 and `. _ -`")
        self.jitter = self.number(declared, "jitter", 0.2, 0, 0.9)
        self.early_refresh = self.number(declared, "early_refresh", 1.0, 0, 10)
        self.lease_ms = self.number(declared, "lease_ms", 1_000, 100, 60_000)
        query = declared.get("query", {})
        self.query_ttl_ms = self.number(query, "ttl_ms", 60_000, 1, DURATION_MAX_MS, "query.")
        entities = declared.get("entities", {})
        self.signatures = {name: entity.get("params", []) for name, entity in entities.items()}
        # Sorted by name, so that an entity has the same index in every instance.
        self.entities = {
            name: self.entity(index, name, entities[name])
            for index, name in enumerate(sorted(entities))
        }
        self.all_terms = [entity.terms for entity in self.entities.values()]
        if self.problems:
            raise Err(self.problems)

    def write(self, entity, write):
        entity = self.entities.get(entity)
        return entity and entity.writes.get(write)

    def spare_of_query(self, ttl_ms):
        return SPARE_QUERY + min(ttl_ms or self.query_ttl_ms, DURATION_MAX_MS)

    def terms(self, spare):
        """What a memo's `spare` stands for; None: this policy did not write it."""
        if spare < SPARE_QUERY:
            return self.all_terms[spare] if spare < len(self.all_terms) else None
        ttl_ms = spare - SPARE_QUERY
        return Terms(ttl_ms, ttl_ms) if 1 <= ttl_ms <= DURATION_MAX_MS else None

    def parse(self, text):
        try:
            return json.loads(text)
        except ValueError as error:
            raise Err([t.Problem(path="", message=f"is not JSON: {error}")]) from None

    def entity(self, index, name, declared):
        path = f"entities.{name}."
        params = self.signatures[name]

        def ms(field, fallback, low):
            return self.number(declared, field, fallback, low, DURATION_MAX_MS, path)

        def tag(text):
            return parse_template(text, params)

        tags = self.parsed(f"{path}tags", declared.get("tags", []), tag)
        row_tags = [tag for tag in tags if columns_of(tag)]
        columns = dict.fromkeys(column for tag in row_tags for column in columns_of(tag))
        return Entity(
            index=index,
            params=params,
            terms=Terms(
                ttl_ms=ms("ttl_ms", None, 1),
                negative_ttl_ms=ms("negative_ttl_ms", 30_000, 0),
                stale_while_revalidate_ms=ms("stale_while_revalidate_ms", 0, 0),
                stale_if_error_ms=ms("stale_if_error_ms", 0, 0),
            ),
            tags=[tag for tag in tags if not columns_of(tag)],
            row_tags=row_tags,
            row_columns=list(columns),
            writes={
                write: self.read_write(f"{path}writes.{write}.", content)
                for write, content in declared.get("writes", {}).items()
            },
        )

    def read_write(self, path, declared):
        params = declared.get("params", [])
        through = declared.get("then") == "write-through"

        def touch(text):
            return parse_touch(text, params, self.signatures)

        return Write(
            params=params,
            way=t.Way.REFRESHED if through else t.Way.REMOVED,
            touches=self.parsed(f"{path}touches", declared.get("touches", []), touch),
        )

    def parsed(self, place, texts, parse):
        items = []
        for at, text in enumerate(texts):
            try:
                items.append(parse(text))
            except ValueError as error:
                self.reject(f"{place}[{at}]", f"`{text}`: {error}")
        return items

    def number(self, declared, name, fallback, low, high, path=""):
        value = declared.get(name, fallback)
        if isinstance(value, (int, float)) and low <= value <= high:
            return value
        message = "is missing" if value is None else f"must be a number from {low} to {high}"
        self.reject(path + name, message)
        return low

    def reject(self, path, message):
        self.problems.append(t.Problem(path=path, message=message))
