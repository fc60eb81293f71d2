// What a Corral host asks: the interface `decisions` of wit/policy.wit. Functions without a clock,
// without dice and without I/O: whatever a decision depends on is an argument.
import { step } from "./flight.js";
import { targets } from "./invalidation.js";
import { plan, rowTags } from "./naming.js";
import { readSettings } from "./settings.js";

/** What `configure` was told; the same in every instance. */
let settings = readSettings("{}");

export const decisions = {
  describe: () => ({ name: "my-policy", version: "0.1.0" }),
  configure: (text) => {
    settings = readSettings(text);
  },
  plan: (request) => plan(settings, unsigned(request)),
  rowTags: (request, rows) => rowTags(settings, request, rows),
  step: (memo, moment, event) => step(settings, ...[memo, moment, event].map(unsigned)),
  invalidate: (change) => targets(settings, change),
};

/** The contract's types have no functions. */
export const types = {};

/** componentize-qjs 0.4.5 hands over numbers from 2³¹ on as negative ones. */
function unsigned(value) {
  if (typeof value === "number") return value < 0 ? value + 2 ** 32 : value;
  if (typeof value === "object") for (const name in value) value[name] = unsigned(value[name]);
  return value;
}
