// Reads and checks `[[policy.settings.rules]]`.
import { DURATION_MAX_MS, objection } from "./corral/policy.js";

/**
 * How many times the entity's `ttl` a rule may ask for. A value that is fresh and then stale for so
 * long each stays within the ten lifetimes that a host keeps a value at most.
 */
const STRETCH = 4;

/** The rules in their order, and every objection to them. */
export function readRules(entities, given) {
  if (!Array.isArray(given)) {
    return { rules: [], objections: [objection("rules", "must be a list of rules")] };
  }
  const objections = [];
  const rules = given.flatMap((rule, at) => {
    const reject = (field, message) => objections.push(objection(`rules[${at}].${field}`, message));
    const entity = entities.find(({ name }) => name === rule.entity);
    if (entity) return [readRule(rule, entity, reject)];
    reject("entity", `there is no entity \`${rule.entity}\``);
    return [];
  });
  return { rules, objections };
}

function readRule(rule, entity, reject) {
  const { ttlMs, negativeTtlMs, staleWhileRevalidateMs, staleIfErrorMs } = entity.terms;
  const ms = (field, fallback, low) => {
    const value = rule[field] ?? fallback;
    const high = Math.min(Math.max(fallback, ttlMs * STRETCH), DURATION_MAX_MS);
    if (Number.isInteger(value) && value >= low && value <= high) return value;
    reject(field, `must be a whole number from ${low} to ${high}, not ${JSON.stringify(value)}`);
    return fallback;
  };
  const where = readPatterns(rule.where ?? {}, entity, reject);
  return {
    isMetBy: (read) =>
      read.entity?.name === entity.name &&
      where.every(([name, pattern]) => meets(pattern, read.argument(name))),
    terms: {
      ttlMs: ms("ttl_ms", ttlMs, 1),
      negativeTtlMs: ms("negative_ttl_ms", negativeTtlMs, 0),
      staleWhileRevalidateMs: ms("stale_while_revalidate_ms", staleWhileRevalidateMs, 0),
      staleIfErrorMs: ms("stale_if_error_ms", staleIfErrorMs, 0),
    },
  };
}

/** Pairs of a parameter and the pattern that its argument has to meet. */
function readPatterns(where, entity, reject) {
  return Object.entries(where).flatMap(([name, text]) => {
    if (!entity.parameters.some((parameter) => parameter.name === name)) {
      reject(`where.${name}`, `\`${entity.name}\` has no parameter \`${name}\``);
    }
    try {
      // Without flags, so that a pattern has no memory between two tests.
      return [[name, new RegExp(text)]];
    } catch (error) {
      reject(`where.${name}`, error.message);
      return [];
    }
  });
}

/** Null meets no pattern. */
function meets(pattern, value) {
  return value !== null && pattern.test(value);
}
