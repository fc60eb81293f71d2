// What a Corral host asks: the interface `decisions` of wit/policy.wit. Functions without a clock,
// without dice and without I/O: whatever a decision depends on is an argument.
import { step } from "./flight.js";
import { targets } from "./invalidation.js";
import { plan, rowTags } from "./naming.js";
import { readSettings } from "./settings.js";

/** What `configure` was told; the same in every instance. */
let settings = readSettings("{}");

export const decisions = {
  describe: () => ({ name: "rules", version: "0.1.0" }),
  configure: (text) => {
    settings = readSettings(text);
  },
  plan: (request) => signed(plan(settings, unsigned(request))),
  rowTags: (request, rows) => rowTags(settings, request, rows),
  step: (memo, moment, event) =>
    signed(
      step(
        settings,
        unsigned(memo),
        { ...moment, leftMs: unsigned(moment.leftMs) },
        unsigned(event),
      ),
    ),
  invalidate: (change) => targets(settings, change),
};

/** The contract's types have no functions. */
export const types = {};

/** componentize-qjs 0.4.5 hands over numbers from 2³¹ on as negative ones, and takes them so. */
const unsigned = (value) => each(value, (number) => (number < 0 ? number + 2 ** 32 : number));
const signed = (value) => each(value, (number) => number | 0);

function each(value, convert) {
  if (typeof value === "number") return convert(value);
  if (typeof value !== "object" || value === null) return value;
  for (const name of Object.keys(value)) {
    if (typeof value[name] !== "string") value[name] = each(value[name], convert);
  }
  return value;
}
