// A caching policy for Corral. It decides as the built-in one does, but for what stands here;
// README.md lists what else can be decided otherwise.
import { policy } from "./corral/policy.js";

/** What costs less to load is cheap. */
const CHEAP_MS = 10;

export const { decisions, types } = policy({
  name: "my-policy",
  version: "0.1.0",

  /** A cheap value lives for half of its entity's ttl: to load it again costs little. */
  ttlMs(kept, load) {
    const { ttlMs } = kept.terms;
    return load.costMs < CHEAP_MS ? ttlMs / 2 : ttlMs;
  },
});
