# Support code of Corral: `corral policy new` writes it. Don't edit it; override a decision in
# app.py.
"""How long a value lives, once its `ttl_ms` is decided."""

from math import ceil, log1p

from wit_world.exports import types as t

# The time that a refresh takes beside its load: until it begins, for its claim and for its fill.
HEAD_START_MS = 20

# How much slower than the last load the next one may be.
HEAD_START_LOADS = 2

U32_MAX = 2**32 - 1


def draw(terms, settings, load, entropy):
    """The lifetime of a value that was just loaded. Values that are filled together must not expire
    together, so the base is spread by ± `jitter`. A value that is in use is renewed before it
    expires, the earlier the more its load cost (XFetch: Vattani et al., VLDB 2015)."""
    first, second = dice(entropy)

    def around(base):
        reach = int(base * settings.jitter)
        return min(max(1, base - reach + int(first * (2 * reach + 1))), U32_MAX)

    if load.negative:
        # A negative ttl of 0 is a millisecond: what is filled replaces an older value in the store.
        fresh = around(terms.negative_ttl_ms)
        return t.Lifetime(fresh_ms=fresh, stale_ms=0, refresh_ms=fresh)
    fresh = around(terms.ttl_ms)
    early = fresh
    if settings.early_refresh > 0:
        loads = HEAD_START_LOADS - settings.early_refresh * log1p(-second)
        early = fresh - int(HEAD_START_MS + load.cost_ms * loads)
    return t.Lifetime(
        fresh_ms=fresh,
        stale_ms=max(terms.stale_while_revalidate_ms, terms.stale_if_error_ms),
        # Never in the first half of a life, so that a key has at most twice the loads.
        refresh_ms=max(early, ceil(fresh / 2)),
    )


def dice(entropy):
    """Two independent numbers, at least 0 and below 1, of a step's 64 random bits."""
    return (entropy >> 32) / 2**32, (entropy >> 11 & 0x1FFFFF) / 2**21
