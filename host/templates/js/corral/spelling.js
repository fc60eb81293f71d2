// Support code of Corral: `corral policy new` writes it. Don't edit it; override a decision in
// ../policy.js.
//
// Texts in the one form that names are made of, on every host and in every language.
import { hexDigest } from "./sha256.js";

/** The longest tag that stays as it is, and how much stays of a longer one. */
const TAG_BYTES_MAX = 192;
const TAG_BYTES_KEPT = 128;

/** A value inside a name: letters, digits, `. _ @ + -` and `%XX`, or `~` for null. */
export function segment(value) {
  if (value === null || value === undefined) return "~";
  return encodeURIComponent(value)
    .replace(/[!~*'()]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
    .replace(/%40|%2B/g, (escape) => decodeURIComponent(escape));
}

/** The tag `name:value`. */
export function tag(name, value) {
  return rendered(`${name}:${segment(value)}`);
}

/** A tag of this text. A long one is its beginning and a digest. */
export function rendered(text) {
  if (utf8(text).length <= TAG_BYTES_MAX) return text;
  return `${beginning(text, TAG_BYTES_KEPT)}~${digest(["corral:tag:1", text])}`;
}

/** As many whole characters as fit into so many bytes. */
function beginning(text, bytes) {
  let kept = "";
  let left = bytes;
  for (const character of text) {
    left -= utf8(character).length;
    if (left < 0) break;
    kept += character;
  }
  return kept;
}

/** The same key behind a prefix of its own. */
export function under(prefix, key) {
  return `${prefix}:${key}`;
}

/** SHA-256 over fields with their lengths before them: moving text between fields changes it. */
export function digest(fields) {
  const forms = fields.map((field) => {
    if (typeof field === "string") return sized(field);
    return field.value === null ? "\0" : `\x01${sized(field.value)}`;
  });
  return hexDigest(forms.join(""));
}

/** Sorted, none twice. */
export function distinct(names) {
  return names.length < 2 ? names : [...new Set(names)].sort(byteOrder);
}

/** The order of UTF-8, which is the order of code points, unlike that of UTF-16. */
export function byteOrder(a, b) {
  const [left, right] = [utf8(a), utf8(b)];
  return left < right ? -1 : Number(left > right);
}

/** The text's bytes, with their number in eight bytes before them, the lowest first. */
function sized(text) {
  const bytes = utf8(text);
  const length = [0, 8, 16, 24].map((shift) => (bytes.length >>> shift) & 255);
  return String.fromCharCode(...length, 0, 0, 0, 0) + bytes;
}

/** A text of one character for each byte: the engine inside a component has no TextEncoder. */
function utf8(text) {
  return unescape(encodeURIComponent(text));
}
