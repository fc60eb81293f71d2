// Templates of tags, `user:{id}` and `team:{row.team_id}`, and what a write touches.
import { digest, segment } from "./canonical.js";

const TAG_BYTES_MAX = 192;
const DIGEST_BYTES = 64;

/** `id` is the parameter of that name, `row.team_id` a column. */
export function parseSource(name, params) {
  if (name.startsWith("row.") && name.length > 4) return { column: name.slice(4) };
  const parameter = params.indexOf(name);
  if (parameter < 0) throw new Error(`there is no parameter \`${name}\``);
  return { parameter };
}

/** The template's pieces: texts, and sources of values. */
export function parseTemplate(text, params) {
  const pieces = text.split(/(\{[^}]*\})/).filter((piece) => piece !== "");
  if (pieces.length === 0) throw new Error("must not be empty");
  return pieces.map((piece) => {
    if (piece.startsWith("{") && piece.endsWith("}"))
      return parseSource(piece.slice(1, -1), params);
    if (!/^[A-Za-z0-9._@+:/-]*$/.test(piece))
      throw new Error("letters, digits and `. _ @ + - : /` can be in a tag");
    return piece;
  });
}

export function columnsOf(template) {
  return template.flatMap((piece) => piece.column ?? []);
}

/** The tag, where `valueOf` knows every value (null is one); else undefined. */
export function render(template, valueOf) {
  let tag = "";
  for (const piece of template) {
    const value = typeof piece === "string" ? undefined : valueOf(piece);
    if (typeof piece !== "string" && value === undefined) return undefined;
    tag += typeof piece === "string" ? piece : segment(value);
  }
  if (tag.length <= TAG_BYTES_MAX) return tag;
  return `${tag.slice(0, TAG_BYTES_MAX - DIGEST_BYTES)}~${digest(["corral:tag:1", tag])}`;
}

/** `user.profile(id)`: reads of that entity; `tag user:{id}`: whatever carries that tag. */
export function parseTouch(text, params, entities) {
  if (text.startsWith("tag ")) return { tag: parseTemplate(text.slice(4).trim(), params) };
  const [, entity, list] = text.trim().match(/^([^(]*)\((.*)\)$/) ?? [];
  if (list === undefined) throw new Error("must be `entity(parameter, …)` or `tag template`");
  const declared = entities[entity]?.params;
  if (!declared) throw new Error(`there is no entity \`${entity}\``);
  const names = list.trim() === "" ? [] : list.split(",").map((name) => name.trim());
  if (names.length !== declared.length)
    throw new Error(`\`${entity}\` has ${declared.length} parameter(s)`);
  return { entity, sources: names.map((name, at) => [declared[at], parseSource(name, params)]) };
}
