"""What a Corral host asks: the interface `decisions` of wit/policy.wit. Functions without a clock,
without dice and without I/O: whatever a decision depends on is an argument."""

import flight
import invalidation
import naming
from settings import Settings
from wit_world import exports
from wit_world.exports import types as t


# What `configure` was told; the same in every instance. A call makes an object of its own, so it
# can't stand there.
settings = Settings("{}")


class Decisions(exports.Decisions):
    def describe(self):
        return t.Manifest(name="my-policy", version="0.1.0")

    def configure(self, text):
        global settings
        settings = Settings(text)

    def plan(self, request):
        return naming.plan(settings, request)

    def row_tags(self, request, rows):
        return naming.row_tags(settings, request, rows)

    def step(self, memo, moment, event):
        return flight.step(settings, memo, moment, event)

    def invalidate(self, change):
        return invalidation.targets(settings, change)


class Types(exports.Types):
    """The contract's types have no functions."""
