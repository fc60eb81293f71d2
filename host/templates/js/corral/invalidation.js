// Support code of Corral: `corral policy new` writes it. Don't edit it; override a decision in
// ../policy.js.
//
// From a write to what it makes untrue: what the configuration says that it touches. A touch that
// depends on a row is made for the row as it was and for the row as it is: a row that moves from
// one team to another changes both.
import { render, valueOf } from "./naming.js";

/** For touches that depend on no row. */
const NO_ROW = { columns: [], before: [] };

/** The targets of a write; `find` finds an entity. A touch with an unknown value has no target. */
export function targets(find, written) {
  const write = find(written.entity)?.writes.find(({ name }) => name === written.write);
  if (!write) return [];
  const sides = written.rows
    .flatMap(({ before, after }) => [before, after].map((columns) => ({ columns, before })))
    .filter(({ columns }) => columns.length > 0);
  const targetOf = (touch, side) => {
    const lookup = ({ tag, val }) => {
      if (tag === "argument") return valueOf(written.arguments, val);
      return known(tag === "column" ? side.columns : side.before, val);
    };
    if (touch.tag === "tag") return tagTarget(touch.val, lookup);
    return readTarget(find(touch.val.entity), touch.val.arguments, write.way, lookup);
  };
  return write.touches
    .flatMap((touch) =>
      (dependsOnRow(touch) ? sides : [NO_ROW]).map((side) => targetOf(touch, side)),
    )
    .filter((target) => target !== undefined);
}

function dependsOnRow({ tag, val }) {
  const isOfRow = (source) => source.tag !== "argument";
  if (tag === "read") return val.arguments.some(isOfRow);
  return val.some((piece) => piece.tag === "value" && isOfRow(piece.val));
}

function tagTarget(template, lookup) {
  const tag = render(template, lookup);
  return tag === undefined ? undefined : { scope: { tag: "tag", val: tag }, way: "removed" };
}

function readTarget(entity, sources, way, lookup) {
  if (!entity) return undefined;
  const given = entity.parameters.map(({ name }, at) => ({ name, value: lookup(sources[at]) }));
  if (given.some(({ value }) => value === undefined)) return undefined;
  const request = { subject: { tag: "entity", val: entity.name }, arguments: given };
  return { scope: { tag: "read", val: request }, way };
}

/** Null if the value is null, undefined if it is not known. */
function known(columns, name) {
  const value = columns.find((column) => column.name === name)?.value ?? { tag: "unknown" };
  return { unknown: undefined, null: null, text: value.val }[value.tag];
}
