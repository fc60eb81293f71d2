// From a write to what it makes untrue: what the configuration says that it `touches`. What depends
// on a row is touched as the row was and as it is: who moves from one team to another changes both.
import { byteOrder } from "./canonical.js";
import { columnsOf, render } from "./template.js";

export function targets(settings, change) {
  const write = settings.writeOf(change.entity, change.write);
  if (!write) return [];
  const sides = change.rows
    .flatMap(({ before, after }) => [before, after])
    .filter((columns) => columns.length > 0);
  const found = new Map();
  for (const touch of write.touches) {
    for (const columns of dependsOnRow(touch) ? sides : [[]]) {
      const valueOf = ({ parameter, column }) =>
        column === undefined
          ? find(change.arguments, write.params[parameter])
          : find(columns, column);
      const target = touch.tag ? tagTarget(touch, valueOf) : readTarget(touch, valueOf, write.way);
      if (target) found.set(JSON.stringify(target), target);
    }
  }
  return [...found].sort(([a], [b]) => byteOrder(a, b)).map(([, target]) => target);
}

function dependsOnRow({ tag, sources }) {
  return tag ? columnsOf(tag).length > 0 : sources.some(([, { column }]) => column !== undefined);
}

function tagTarget(touch, valueOf) {
  const tag = render(touch.tag, valueOf);
  return tag === undefined ? undefined : { scope: { tag: "tag", val: tag }, way: "removed" };
}

function readTarget({ entity, sources }, valueOf, way) {
  const given = sources.map(([name, source]) => ({ name, value: valueOf(source) }));
  if (given.some(({ value }) => value === undefined)) return undefined;
  const request = { subject: { tag: "entity", val: entity }, arguments: given };
  return { scope: { tag: "read", val: request }, way };
}

/** Null where the value is null, undefined where it is not known. */
function find(columns, name) {
  const found = columns.find((column) => column.name === name);
  return found && (found.value ?? null);
}
