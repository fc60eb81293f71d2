// Support code of Corral: `corral policy new` writes it. Don't edit it; override a decision in
// ../policy.js.
//
// The interface `decisions` of wit/policy.wit, which a host calls, and the decisions that an author
// may override. All of them are pure: the same arguments give the same answer, in every instance.
import { astray, begin, step } from "./flight.js";
import { targets } from "./invalidation.js";
import { columnsOf, nameEntity, nameQuery, rowTags, valueOf } from "./naming.js";
import { DURATION_MAX_MS, parseSettings, readSettings } from "./settings.js";
import { withSigns } from "./signs.js";
import { distinct } from "./spelling.js";

export { DURATION_MAX_MS, objection } from "./settings.js";
export { segment, tag, under } from "./spelling.js";

/**
 * The decisions that an author may override, with the built-in answers.
 *
 * `read` has an `entity` (undefined for an ad-hoc query), the `request`, and `argument(name)`: a
 * text, null, or undefined if there is no argument of that name. `kept` is what decides how long a
 * value is kept: an `entity` likewise, the flight's `note`, and `terms`, which are those that were
 * configured or, in `ttlMs`, those that the decision `terms` returned. Everything else is the
 * contract's, with its names in camelCase: `terms.ttlMs`.
 */
const BUILT_IN = {
  /** What the policy is called in logs, headers and metrics. */
  name: "unnamed",
  version: "0.0.0",

  /** The names of the settings that `configure` reads. */
  settings: [],
  /** Reads `settings`, an object with all of `[policy.settings]`; returns every `objection`. */
  configure: (entities, settings) => [],

  /** The key of a read; `key` is the built-in one. */
  key: (read, key) => key,
  /** The tags of a read, which are at first its entity's. Those of loaded rows come later. */
  tags: (read, tags) => tags,

  /** A number of 32 bits, all that a flight's later decisions learn of its read's arguments. */
  note: (read) => 0,
  /** What a flight's note becomes when something happens to the flight. */
  noted: (note, event) => note,
  /** Under which terms a value is kept and answered. */
  terms: (kept) => kept.terms,
  /** How long a loaded value is fresh, before jitter. Not called if the row does not exist. */
  ttlMs: (kept, load) => kept.terms.ttlMs,

  /** The targets of a change, which are at first those that the configuration says. */
  targets: (change, targets) => targets,
};

/** In a memo's `terms`: below it the index of an entity, from it on the lifetime of a query. */
const QUERIES = 65536;

/** What the component exports: the built-in policy with the author's overrides. */
export function policy(overrides) {
  const unknown = Object.keys(overrides).filter((name) => !(name in BUILT_IN));
  if (unknown.length > 0) {
    const known = Object.keys(BUILT_IN).join(", ");
    throw new Error(`there is no decision ${unknown.join(", ")}; there are ${known}`);
  }
  // The contract's types have no functions.
  return { decisions: withSigns(decisionsUnder({ ...BUILT_IN, ...overrides })), types: {} };
}

function decisionsUnder(rules) {
  // Set by `configure`; the same in every instance.
  let { settings } = readSettings({}, []);
  let entities = [];
  let indexes = new Map();

  const find = (name) => entities[indexes.get(name)];
  const declared = (name) => {
    if (!indexes.has(name)) throw { tag: "unknown-entity" };
    return find(name);
  };

  return {
    describe: () => ({ name: rules.name, version: rules.version }),

    configure(given, text) {
      const own = parseSettings(text);
      const builtIn = readSettings(own, rules.settings);
      const objections = [...builtIn.objections, ...(rules.configure(given, own) ?? [])];
      if (objections.length > 0) throw objections;
      settings = builtIn.settings;
      entities = given;
      indexes = new Map(given.map(({ name }, index) => [name, index]));
    },

    plan(request) {
      const { subject, arguments: given } = request;
      const entity = subject.tag === "entity" ? declared(subject.val) : undefined;
      const { key, tags } = entity
        ? nameEntity(settings.namespace, entity, given)
        : nameQuery(settings.namespace, subject.val, given);
      const terms = entity ? indexes.get(entity.name) : QUERIES + durationOf(subject.val);
      const read = { entity, request, argument: (name) => valueOf(given, name) };
      return {
        key: rules.key(read, key),
        tags: distinct(rules.tags(read, tags)),
        rowColumns: entity ? columnsOf(entity) : [],
        memo: begin(terms, rules.note(read)),
      };
    },

    rowTags({ subject, arguments: given }, rows) {
      return subject.tag === "entity" ? rowTags(declared(subject.val), given, rows) : [];
    },

    step(before, moment, event) {
      const memo = { ...before, note: rules.noted(before.note, event) };
      const kept = keptUnder(entities, memo);
      if (!kept) return astray(memo, event);
      const terms = rules.terms(kept);
      const isValue = event.tag === "loaded" && !event.val.negative;
      const ttlMs = isValue ? rules.ttlMs({ ...kept, terms }, event.val) : terms.ttlMs;
      return step({ ...terms, ttlMs }, settings, memo, moment, event);
    },

    invalidate(change) {
      const touched = change.tag === "written" ? targets(find, change.val) : [];
      const all = rules.targets(change, touched);
      return [...new Map(all.map((target) => [JSON.stringify(target), target])).values()];
    },
  };
}

function durationOf({ ttlMs }) {
  return Math.min(Math.max(ttlMs, 1), DURATION_MAX_MS);
}

/** What decides how long a memo's value is kept; undefined if this policy did not write it. */
function keptUnder(entities, { terms, note }) {
  if (terms < QUERIES) {
    const entity = entities[terms];
    // A copy, since changes that a policy makes to it must not last.
    return entity && { entity, terms: { ...entity.terms }, note };
  }
  const ttlMs = terms - QUERIES;
  if (ttlMs < 1 || ttlMs > DURATION_MAX_MS) return undefined;
  const ofQuery = { ttlMs, negativeTtlMs: ttlMs, staleWhileRevalidateMs: 0, staleIfErrorMs: 0 };
  return { entity: undefined, terms: ofQuery, note };
}
