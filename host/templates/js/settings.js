// What the host hands over once: `[policy.settings]` of the configuration, and beside it what a
// policy must know of the entities. Every problem is reported at once, with its path.
import { byteOrder } from "./canonical.js";
import { columnsOf, parseTemplate, parseTouch } from "./template.js";

/** In a memo's `spare`: below it the index of an entity, from it on the lifetime of a query. */
const SPARE_QUERY = 65536;

/** 30 days. */
const DURATION_MAX_MS = 2592000000;

const KNOWN = ["namespace", "jitter", "early_refresh", "lease_ms", "query", "entities"];

export function readSettings(text) {
  const problems = [];
  const json = parseJson(text);
  const reject = (path, message) => problems.push({ path, message });
  const number = (from, path, name, fallback, low, high) => {
    const value = from[name] ?? fallback;
    if (typeof value === "number" && value >= low && value <= high) return value;
    reject(
      path + name,
      value === undefined ? "is missing" : `must be a number from ${low} to ${high}`,
    );
    return low;
  };
  for (const name of Object.keys(json)) {
    if (!KNOWN.includes(name)) reject(name, `is unknown here; known are ${KNOWN.join(", ")}`);
  }
  const namespace = json.namespace ?? "v1";
  if (!/^[a-z0-9._-]{1,32}$/.test(namespace))
    reject("namespace", "must be 1 to 32 of a-z, 0-9 and `. _ -`");
  const queryTtlMs = number(json.query ?? {}, "query.", "ttl_ms", 60000, 1, DURATION_MAX_MS);
  const entities = readEntities(json.entities ?? {}, number, reject);
  const settings = {
    namespace,
    jitter: number(json, "", "jitter", 0.2, 0, 0.9),
    earlyRefresh: number(json, "", "early_refresh", 1, 0, 10),
    leaseMs: number(json, "", "lease_ms", 1000, 100, 60000),
    ...lookups(entities, queryTtlMs),
  };
  if (problems.length > 0) throw problems;
  return settings;
}

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw [{ path: "", message: `is not JSON: ${error.message}` }];
  }
}

function lookups(entities, queryTtlMs) {
  const byName = new Map(entities.map((entity) => [entity.name, entity]));
  return {
    entity: (name) => {
      if (!byName.has(name)) throw { tag: "unknown-entity" };
      return byName.get(name);
    },
    writeOf: (entity, write) => byName.get(entity)?.writes.get(write),
    spareOfQuery: (ttlMs) => SPARE_QUERY + Math.min(ttlMs || queryTtlMs, DURATION_MAX_MS),
    /** The terms that a memo's `spare` stands for; undefined: this policy did not write it. */
    termsOf: (spare) =>
      spare < SPARE_QUERY ? entities[spare]?.terms : queryTerms(spare - SPARE_QUERY),
  };
}

function queryTerms(ttlMs) {
  if (ttlMs < 1 || ttlMs > DURATION_MAX_MS) return undefined;
  return { ttlMs, negativeTtlMs: ttlMs, staleWhileRevalidateMs: 0, staleIfErrorMs: 0 };
}

/** Sorted by name, so that an entity has the same index in every instance. */
function readEntities(declared, number, reject) {
  return Object.keys(declared)
    .sort(byteOrder)
    .map((name, index) => {
      const path = `entities.${name}.`;
      const entity = declared[name];
      const ms = (field, fallback, low) =>
        number(entity, path, field, fallback, low, DURATION_MAX_MS);
      const parsed = (place, texts, parse) =>
        (texts ?? []).flatMap((text, at) => {
          try {
            return [parse(text)];
          } catch (error) {
            reject(`${place}[${at}]`, `\`${text}\`: ${error.message}`);
            return [];
          }
        });
      const params = entity.params ?? [];
      const templates = parsed(`${path}tags`, entity.tags, (text) => parseTemplate(text, params));
      const rowTags = templates.filter((tag) => columnsOf(tag).length > 0);
      const writes = Object.entries(entity.writes ?? {}).map(
        ([write, { params = [], then, touches }]) => [
          write,
          {
            params,
            way: then === "write-through" ? "refreshed" : "removed",
            touches: parsed(`${path}writes.${write}.touches`, touches, (text) =>
              parseTouch(text, params, declared),
            ),
          },
        ],
      );
      return {
        name,
        index,
        params,
        terms: {
          ttlMs: ms("ttl_ms", undefined, 1),
          negativeTtlMs: ms("negative_ttl_ms", 30000, 0),
          staleWhileRevalidateMs: ms("stale_while_revalidate_ms", 0, 0),
          staleIfErrorMs: ms("stale_if_error_ms", 0, 0),
        },
        tags: templates.filter((tag) => columnsOf(tag).length === 0),
        rowTags,
        rowColumns: [...new Set(rowTags.flatMap(columnsOf))],
        writes: new Map(writes),
      };
    });
}
