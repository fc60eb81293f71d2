"""A caching policy for Corral. It decides as the built-in policy does, except for the decisions
here; README.md lists the others that can be overridden."""

from corral import Policy, export

# A load that takes less is cheap.
CHEAP_MS = 10


class MyPolicy(Policy):
    name = "my-policy"
    version = "0.1.0"

    def ttl_ms(self, kept, load):
        """A cheap value lives for half of its entity's ttl: it is fresher that way, and loading it
        again costs little."""
        if load.cost_ms < CHEAP_MS:
            return kept.terms.ttl_ms // 2
        return kept.terms.ttl_ms


# The names that the build looks for in this module.
Decisions, Types = export(MyPolicy)
