// Rules: other terms for reads whose arguments match a pattern. The configuration has one `ttl` for
// an entity, but the first page of a list changes all day and the hundredth never, a draft is read
// by an author that has to see changes at once, and guests accept older values than customers.
import { policy } from "./corral/policy.js";
import { readRules } from "./rules.js";

/** Set by `configure`; the same in every instance. */
let rules = [];

export const { decisions, types } = policy({
  name: "rules",
  version: "0.1.0",

  settings: ["rules"],
  configure(entities, settings) {
    const read = readRules(entities, settings.rules ?? []);
    rules = read.rules;
    return read.objections;
  },

  /** The number of the first rule that the read meets, from 1 on; 0 if it meets none. */
  note(read) {
    return 1 + rules.findIndex((rule) => rule.isMetBy(read));
  },

  /** The terms of the rule that the flight noted; without a rule, the entity's. */
  terms(kept) {
    return rules[kept.note - 1]?.terms ?? kept.terms;
  },
});
