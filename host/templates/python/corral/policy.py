# Support code of Corral: `corral policy new` writes it. Don't edit it; override a decision in
# app.py.
"""The decisions that a policy can override, each with the built-in answer. All of them are pure:
the same arguments give the same answer, in every instance."""

from dataclasses import dataclass

from wit_world.exports import types as t


class Policy:
    # What the policy is called in logs, headers and metrics.
    name = "unnamed"
    version = "0.0.0"

    # The names of the policy's own settings, which `configure` reads.
    settings = ()

    def configure(self, entities, settings):
        """Reads `settings`, a dict with all of `[policy.settings]`, and keeps in `self` what later
        decisions need of them. Returns an `objection` to each setting that can't be accepted."""
        return []

    def key(self, read, key):
        """The key of a read; `key` is the built-in one."""
        return key

    def tags(self, read, tags):
        """The tags of a read; `tags` are those that its entity declares. Tags that depend on the
        loaded row come later, and no policy in Python changes them."""
        return tags

    def note(self, read):
        """What a flight notes of its read when it begins, a number of 32 bits. Later decisions of
        the flight learn nothing else of the read's arguments."""
        return 0

    def noted(self, note, event):
        """What a flight's note becomes when something happens to the flight."""
        return note

    def terms(self, kept):
        """Under which terms a flight's value is kept and answered."""
        return kept.terms

    def ttl_ms(self, kept, load):
        """How long a value that was just loaded is fresh, in milliseconds, before jitter. Not
        called for a row that does not exist, for which the terms' `negative_ttl_ms` counts."""
        return kept.terms.ttl_ms

    def targets(self, change, targets):
        """What a change makes untrue; `targets` are those that the configuration says."""
        return targets


@dataclass
class Read:
    """A read, when it is named."""

    # None for an ad-hoc query.
    entity: t.Entity | None
    request: t.Request

    def argument(self, name, default=None):
        """The argument's value, None for SQL's null; `default` if there is no such argument."""
        values = {argument.name: argument.value for argument in self.request.arguments}
        return values.get(name, default)


@dataclass
class Kept:
    """What decides how long a flight's value is kept."""

    # None for an ad-hoc query.
    entity: t.Entity | None
    # What the configuration or the query's caller asked for; in `ttl_ms`, what `terms` returned.
    terms: t.Terms
    # What the flight noted.
    note: int
