# Support code of Corral: `corral policy new` writes it. Don't edit it; override a decision in
# app.py.
"""The built-in policy's own settings, of `[policy.settings]`."""

import json
import re

from componentize_py_types import Err
from wit_world.exports import types as t

# 30 days: the longest duration that settings or a query may ask for.
DURATION_MAX_MS = 2_592_000_000

KNOWN = ("namespace", "jitter", "early_refresh", "lease_ms", "patience_ms")


def parse(text):
    """The settings as a dict."""
    try:
        own = json.loads(text)
    except ValueError as error:
        raise Err([objection("", f"is not JSON: {error}")]) from None
    if not isinstance(own, dict):
        raise Err([objection("", "must be a JSON object")])
    return own


def objection(path, message):
    """An objection to the setting at `path`, as `configure` returns it."""
    return t.Objection(t.Concern_Setting(path), message)


class Settings:
    """The checked settings. A mistake is noted and reading goes on, so that one pass finds every
    mistake. `others` are the names of the settings that the policy itself reads."""

    def __init__(self, own, others=()):
        self.own = own
        self.objections = []
        self.namespace = self.name("namespace", "v1")
        self.jitter = self.fraction("jitter", 0.2, 0.9)
        self.early_refresh = self.fraction("early_refresh", 1.0, 10.0)
        self.lease_ms = self.whole("lease_ms", 1_000, 100, 60_000)
        self.patience_ms = self.whole("patience_ms", 0, 0, DURATION_MAX_MS)
        known = [*KNOWN, *others]
        for name in own:
            if name not in known:
                listed = "`, `".join(known)
                self.reject(name, f"is unknown here; known are `{listed}`")

    def name(self, name, default):
        value = self.own.get(name, default)
        if isinstance(value, str) and re.fullmatch(r"[a-z0-9._-]{1,32}", value):
            return value
        legal = "letters in lower case, digits and `. _ -`"
        return self.reject(name, f"must be a text, 1 to 32 of {legal}")

    def whole(self, name, default, low, high):
        value = self.own.get(name, default)
        if type(value) is int and low <= value <= high:
            return value
        return self.reject(name, f"must be a whole number from {low} to {high}, not {shown(value)}")

    def fraction(self, name, default, high):
        value = self.own.get(name, default)
        if type(value) in (int, float) and 0 <= value <= high:
            return value
        return self.reject(name, f"must be a number from 0 to {high}, not {shown(value)}")

    def reject(self, name, message):
        self.objections.append(objection(name, message))


def shown(value):
    return f"the text `{value}`" if isinstance(value, str) else json.dumps(value)
