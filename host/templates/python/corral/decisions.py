# Support code of Corral: `corral policy new` writes it. Don't edit it; override a decision in
# app.py.
"""The interface `decisions` of wit/policy.wit, which a Corral host calls, under one policy."""

from dataclasses import replace

from componentize_py_types import Err
from corral import flight, invalidation, naming
from corral.policy import Kept, Read
from corral.settings import DURATION_MAX_MS, Settings, parse
from wit_world import exports
from wit_world.exports import types as t

# In a memo's `terms`: below it the index of an entity, from it on the lifetime of a query.
QUERIES = 65_536


def export(policy):
    """The classes that componentize-py looks for in the module `app`. It makes an object for each
    function; all of them have to share what `configure` was given."""
    decisions = Decisions(policy())
    return (lambda: decisions), Types


class Types(exports.Types):
    """The contract's types have no functions."""


class Decisions(exports.Decisions):
    def __init__(self, policy):
        self.policy = policy
        self.accept(Settings({}), [])

    def describe(self):
        return t.Manifest(name=self.policy.name, version=self.policy.version)

    def configure(self, entities, settings):
        own = parse(settings)
        settings = Settings(own, self.policy.settings)
        objections = settings.objections + (self.policy.configure(entities, own) or [])
        if objections:
            raise Err(objections)
        self.accept(settings, entities)

    def plan(self, request):
        namespace = self.settings.namespace
        match request.subject:
            case t.Subject_Entity(name):
                entity = self.entity(name)
                terms = self.indexes[name]
                key, tags = naming.of_entity(namespace, entity, request.arguments)
            case t.Subject_Query(query):
                entity = None
                terms = QUERIES + min(max(query.ttl_ms, 1), DURATION_MAX_MS)
                key, tags = naming.of_query(namespace, query, request.arguments)
        read = Read(entity, request)
        return t.Plan(
            key=self.policy.key(read, key),
            tags=sorted(set(self.policy.tags(read, tags))),
            row_columns=naming.row_columns(entity) if entity else [],
            memo=flight.begin(terms, self.policy.note(read)),
        )

    def row_tags(self, request, rows):
        if isinstance(request.subject, t.Subject_Query):
            return []
        return naming.row_tags(self.entity(request.subject.value), request.arguments, rows)

    def step(self, memo, moment, event):
        memo = replace(memo, note=self.policy.noted(memo.note, event))
        kept = self.kept(memo)
        if kept is None:
            return flight.astray(memo, event)
        kept.terms = self.policy.terms(kept)
        if isinstance(event, t.Event_Loaded) and not event.value.negative:
            ttl_ms = int(self.policy.ttl_ms(kept, event.value))
            kept.terms = replace(kept.terms, ttl_ms=ttl_ms)
        return flight.step(kept.terms, self.settings, memo, moment, event)

    def invalidate(self, change):
        targets = []
        if isinstance(change, t.Change_Written):
            targets = invalidation.targets(self.entities, change.value)
        targets = self.policy.targets(change, targets)
        # None twice. The contract's records can't be in a set; their texts can.
        return list({repr(target): target for target in targets}.values())

    def accept(self, settings, entities):
        self.settings = settings
        self.declared = entities
        self.entities = {entity.name: entity for entity in entities}
        self.indexes = {entity.name: index for index, entity in enumerate(entities)}

    def entity(self, name):
        if name not in self.entities:
            raise Err(t.Refusal_UnknownEntity())
        return self.entities[name]

    def kept(self, memo):
        """What decides how long a memo's value is kept; None if this policy did not write it."""
        if memo.terms < len(self.declared):
            entity = self.declared[memo.terms]
            # A copy, since changes that a policy makes to it must not last.
            return Kept(entity, replace(entity.terms), memo.note)
        ttl_ms = memo.terms - QUERIES
        if 1 <= ttl_ms <= DURATION_MAX_MS:
            return Kept(None, t.Terms(ttl_ms, ttl_ms, 0, 0), memo.note)
        return None
