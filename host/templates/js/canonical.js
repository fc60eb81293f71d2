// Texts in the one form that names are made of, on every host and in every language.
import { hexDigest } from "./sha256.js";

/** What a byte is written as inside a name: as itself where it is safe, else as `%XX`. */
const WRITTEN = Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte);
  if (/[A-Za-z0-9._@+-]/.test(character)) return character;
  return `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
});

/** A value inside a name: safe bytes and `%XX` alone, or `~` for null, so no two values share one. */
export function segment(value) {
  if (value === null) return "~";
  if (/^[A-Za-z0-9._@+-]*$/.test(value)) return value;
  return utf8(value)
    .map((byte) => WRITTEN[byte])
    .join("");
}

/** SHA-256 over fields with their lengths before them: moving text between fields changes it. */
export function digest(fields) {
  const bytes = [];
  for (const field of fields) {
    if (typeof field === "string") {
      append(bytes, field);
    } else {
      bytes.push(field.value === null ? 0 : 1);
      if (field.value !== null) append(bytes, field.value);
    }
  }
  return hexDigest(bytes);
}

function append(bytes, text) {
  const content = utf8(text);
  for (let at = 0, rest = content.length; at < 8; at += 1, rest = Math.floor(rest / 256)) {
    bytes.push(rest % 256);
  }
  for (let at = 0; at < content.length; at += 1) bytes.push(content[at]);
}

/** Written out, since not every engine has a TextEncoder. */
function utf8(text) {
  const bytes = [];
  for (let at = 0; at < text.length; at += 1) {
    const code = text.codePointAt(at);
    if (code < 0x80) {
      bytes.push(code);
    } else if (code < 0x800) {
      bytes.push(0xc0 | (code >> 6), 0x80 | (code & 63));
    } else if (code < 0x10000) {
      bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    } else {
      bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63));
      bytes.push(0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
      // It takes two places in a text.
      at += 1;
    }
  }
  return bytes;
}

export function distinct(names) {
  return names.length < 2 ? names : [...new Set(names)].sort(byteOrder);
}

/** The order of UTF-8 bytes, which is that of code points and not of UTF-16. */
export function byteOrder(a, b) {
  const [left, right] = [utf8(a), utf8(b)];
  const at = left.findIndex((byte, index) => byte !== right[index]);
  return at < 0 ? left.length - right.length : left[at] - (right[at] ?? -1);
}
