// Support code of Corral: `corral policy new` writes it. Don't edit it; override a decision in
// ../policy.js.
//
// How reads are named. Two different reads never share a key. Names are those of the built-in
// policy, so after an exchange of one policy for the other every stored value is found.
import { byteOrder, digest, distinct, rendered, segment } from "./spelling.js";

const KEY_BYTES_MAX = 256;
const KEY_ARGUMENTS_MAX = 8;

/** The key of an entity's read, and the tags that its arguments determine. */
export function nameEntity(namespace, entity, given) {
  const values = bind(entity, given);
  const lookup = ({ tag, val }) => (tag === "argument" ? valueOf(given, val) : undefined);
  return {
    key: entityKey(namespace, entity.name, values),
    tags: renderAll(entity.tags, lookup),
  };
}

/** The key of an ad-hoc query, of which its lifetime and its tags are a part. */
export function nameQuery(namespace, { sql, ttlMs, tags }, given) {
  const sorted = [...given].sort((a, b) => byteOrder(a.name, b.name));
  const twice = sorted.find((argument, at) => argument.name === sorted[at + 1]?.name);
  if (twice) throw { tag: "surplus-argument", val: twice.name };
  const carried = distinct(tags);
  // With their number before them, no tag can be taken for the name of an argument.
  const asked = [sql, `${ttlMs}`, `${carried.length}`, ...carried];
  const fields = sorted.flatMap(({ name, value }) => [name, { value: value ?? null }]);
  return {
    key: `${namespace}:~query:~${digest(["corral:key:query:2", ...asked, ...fields])}`,
    tags: carried,
  };
}

/** The columns that an entity's tags name, none twice. */
export function columnsOf({ tags }) {
  const columns = tags.flat().filter(isColumn);
  return [...new Set(columns.map(({ val }) => val.val))];
}

/** The tags that depend on rows, none twice. */
export function rowTags(entity, given, rows) {
  bind(entity, given);
  const columns = columnsOf(entity);
  const templates = entity.tags.filter((template) => template.some(isColumn));
  const tags = rows.flatMap((row) =>
    renderAll(templates, ({ tag, val }) =>
      tag === "argument" ? valueOf(given, val) : (row[columns.indexOf(val)] ?? null),
    ),
  );
  return distinct(tags);
}

/** The tag; undefined if `lookup` does not know the value of a source. Null is a value. */
export function render(template, lookup) {
  let text = "";
  for (const { tag, val } of template) {
    const value = tag === "value" ? lookup(val) : undefined;
    if (tag === "value" && value === undefined) return undefined;
    text += tag === "value" ? segment(value) : val;
  }
  return rendered(text);
}

/** The value of the argument with this name; undefined if there is no such argument. */
export function valueOf(given, name) {
  const found = given.find((argument) => argument.name === name);
  return found && (found.value ?? null);
}

function renderAll(templates, lookup) {
  return templates.map((template) => render(template, lookup)).filter((tag) => tag !== undefined);
}

function isColumn({ tag, val }) {
  return tag === "value" && val.tag === "column";
}

/** The values of the declared parameters, in their order. */
function bind({ parameters }, given) {
  const names = parameters.map(({ name }) => name);
  const surplus = given.find(
    ({ name }, at) => !names.includes(name) || given.findIndex((one) => one.name === name) < at,
  );
  if (surplus) throw { tag: "surplus-argument", val: surplus.name };
  return names.map((name) => {
    const value = valueOf(given, name);
    if (value === undefined) throw { tag: "missing-argument", val: name };
    return value;
  });
}

/** Values spelled out as long as the key stays readable; otherwise their digest. */
function entityKey(namespace, entity, values) {
  const name = `${namespace}:${entity}`;
  const isShort = (value) => (value?.length ?? 0) < KEY_BYTES_MAX;
  if (values.length <= KEY_ARGUMENTS_MAX && values.every(isShort)) {
    const key = [name, ...values.map(segment)].join(":");
    if (key.length <= KEY_BYTES_MAX) return key;
  }
  const fields = values.map((value) => ({ value }));
  return `${name}:~${digest(["corral:key:entity:1", entity, ...fields])}`;
}
