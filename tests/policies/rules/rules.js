// Rules: other terms for reads whose arguments meet a pattern. The configuration has one `ttl` for an
// entity; but the first page of a list changes all day and the hundredth never, a draft is looked at
// by its author who wants to see it change, and a guest does not mind what a customer would.

/**
 * How far beyond the entity's `ttl` a rule may go: what is fresh and then stale for so long is within
 * the ten lifetimes that a host keeps anything.
 */
const STRETCH = 4;

/** Adds to each entity the rules that are its own. The first one that a read meets holds. */
export function readRules(declared, entities, number, reject) {
  const rules = declared.map((rule, at) => read(rule, `rules[${at}].`, entities, number, reject));
  for (const entity of entities) {
    const own = rules.filter((rule) => rule?.entity === entity);
    /** The number of the rule that these values meet, from 1 on; 0: none. */
    entity.ruleOf = (values) =>
      1 +
      own.findIndex(({ where }) => where.every(({ at, pattern }) => meets(pattern, values[at])));
    entity.termsOf = (rule) => (rule === 0 ? entity.terms : own[rule - 1]?.terms);
  }
}

/** Null meets no pattern. */
function meets(pattern, value) {
  return value !== null && pattern.test(value);
}

function read(rule, path, entities, number, reject) {
  const entity = entities.find(({ name }) => name === rule.entity);
  if (!entity) {
    reject(`${path}entity`, `there is no entity \`${rule.entity}\``);
    return undefined;
  }
  const { ttlMs, negativeTtlMs, staleWhileRevalidateMs, staleIfErrorMs } = entity.terms;
  const ms = (field, fallback) =>
    number(
      rule,
      path,
      field,
      fallback,
      field === "ttl_ms" ? 1 : 0,
      Math.max(fallback, ttlMs * STRETCH),
    );
  return {
    entity,
    where: Object.entries(rule.where ?? {}).flatMap(([name, text]) => {
      const at = entity.params.indexOf(name);
      if (at < 0) reject(`${path}where.${name}`, `\`${rule.entity}\` has no parameter \`${name}\``);
      try {
        // Without flags, so that a pattern has no memory between two tests.
        return [{ at, pattern: new RegExp(text) }];
      } catch (error) {
        reject(`${path}where.${name}`, error.message);
        return [];
      }
    }),
    terms: {
      ttlMs: ms("ttl_ms", ttlMs),
      negativeTtlMs: ms("negative_ttl_ms", negativeTtlMs),
      staleWhileRevalidateMs: ms("stale_while_revalidate_ms", staleWhileRevalidateMs),
      staleIfErrorMs: ms("stale_if_error_ms", staleIfErrorMs),
    },
  };
}
