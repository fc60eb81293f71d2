// How reads are named. Two different reads never share a key; names are those of the built-in
// policy, so exchanging one for the other leaves no key behind.
import { byteOrder, digest, distinct, segment } from "./canonical.js";
import { render } from "./template.js";

const KEY_BYTES_MAX = 256;
const KEY_ARGUMENTS_MAX = 8;

export function plan(settings, { subject, arguments: given }) {
  return subject.tag === "query"
    ? planQuery(settings, subject.val, given)
    : planEntity(settings, subject.val, given);
}

function planEntity(settings, name, given) {
  const entity = settings.entity(name);
  const values = bind(entity, given);
  const valueOf = (source) => values[source.parameter];
  return {
    key: entityKey(settings.namespace, name, values),
    tags: distinct(entity.tags.map((tag) => render(tag, valueOf))),
    rowColumns: entity.rowColumns,
    memo: begin(entity.index),
  };
}

function planQuery(settings, { sql, ttlMs, tags }, given) {
  const sorted = [...given].sort((a, b) => byteOrder(a.name, b.name));
  const twice = sorted.find((argument, at) => argument.name === sorted[at + 1]?.name);
  if (twice) throw { tag: "surplus-argument", val: twice.name };
  const carried = distinct(tags);
  const asked = [sql, `${ttlMs}`, `${carried.length}`, ...carried];
  const fields = sorted.flatMap(({ name, value }) => [name, { value: value ?? null }]);
  return {
    key: `${settings.namespace}:~query:~${digest(["corral:key:query:2", ...asked, ...fields])}`,
    tags: carried,
    rowColumns: [],
    memo: begin(settings.spareOfQuery(ttlMs)),
  };
}

/** The tags that depend on rows, none twice. */
export function rowTags(settings, { subject, arguments: given }, rows) {
  if (subject.tag === "query") return [];
  const entity = settings.entity(subject.val);
  const values = bind(entity, given);
  const tags = rows.flatMap((row) => {
    const valueOf = ({ parameter, column }) =>
      column === undefined ? values[parameter] : (row[entity.rowColumns.indexOf(column)] ?? null);
    return entity.rowTags.map((tag) => render(tag, valueOf));
  });
  return distinct(tags.filter((tag) => tag !== undefined));
}

function begin(spare) {
  return { phase: 0, attempts: 0, sinceMs: 0, spare };
}

/** The values of the declared parameters, in their order; null is null. */
function bind(entity, given) {
  const values = new Map();
  for (const { name, value } of given) {
    if (!entity.params.includes(name) || values.has(name))
      throw { tag: "surplus-argument", val: name };
    values.set(name, value ?? null);
  }
  return entity.params.map((name) => {
    if (!values.has(name)) throw { tag: "missing-argument", val: name };
    return values.get(name);
  });
}

/** Values spelt out, as long as a person would read them; else their digest. */
function entityKey(namespace, entity, values) {
  const name = `${namespace}:${entity}`;
  if (
    values.length <= KEY_ARGUMENTS_MAX &&
    values.every((value) => (value?.length ?? 0) < KEY_BYTES_MAX)
  ) {
    const key = [name, ...values.map(segment)].join(":");
    if (key.length <= KEY_BYTES_MAX) return key;
  }
  return `${name}:~${digest(["corral:key:entity:1", entity, ...values.map((value) => ({ value }))])}`;
}
