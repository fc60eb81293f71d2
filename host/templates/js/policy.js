// A caching policy for Corral. It decides as the built-in policy does, except for the decisions
// here; README.md lists the others that can be overridden.
import { policy } from "./corral/policy.js";

/** A load that takes less is cheap. */
const CHEAP_MS = 10;

export const { decisions, types } = policy({
  name: "my-policy",
  version: "0.1.0",

  /** A cheap value lives for half of its entity's ttl, since loading it again costs little. */
  ttlMs(kept, load) {
    const { ttlMs } = kept.terms;
    return load.costMs < CHEAP_MS ? ttlMs / 2 : ttlMs;
  },
});
