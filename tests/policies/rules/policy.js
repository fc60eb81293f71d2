// Rules: other terms for reads whose arguments meet a pattern. The configuration has one `ttl` for
// an entity; but the first page of a list changes all day and the hundredth never, a draft is read
// by its author who wants to see it change, and a guest does not mind what a customer would.
import { policy } from "./corral/policy.js";
import { readRules } from "./rules.js";

/** What `configure` was told; the same in every instance. */
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

  /** The number of the first rule that the read meets, from 1 on; 0: none. */
  note(read) {
    return 1 + rules.findIndex((rule) => rule.isMetBy(read));
  },

  /** Those of the rule, else the entity's. */
  terms(kept) {
    return rules[kept.note - 1]?.terms ?? kept.terms;
  },
});
