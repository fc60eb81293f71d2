// Support code of Corral: `corral policy new` writes it. Don't edit it; override a decision in
// ../policy.js.
//
// SHA-256 (FIPS 180-4): the engine inside a component has none, and names that depend on untrusted
// arguments need a digest without collisions. Written for an interpreter: plain loops over numbers.

/** The first 32 bits of the fractional parts of the n-th roots of the first primes. */
function fractions(root, count) {
  const primes = [];
  for (let n = 2; primes.length < count; n += 1) {
    if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  }
  return primes.map((prime) => Math.floor((prime ** (1 / root) % 1) * 2 ** 32) | 0);
}

const INITIAL = fractions(2, 8);
const ROUND = new Int32Array(fractions(3, 64));

/** The digest of bytes, each a character of a text, in lower-case hexadecimal. */
export function hexDigest(bytes) {
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / 64) * 64);
  for (let at = 0; at < bytes.length; at += 1) padded[at] = bytes.charCodeAt(at);
  padded[bytes.length] = 0x80;
  new DataView(padded.buffer).setUint32(padded.length - 4, bytes.length * 8);
  const state = new Int32Array(INITIAL);
  for (let at = 0; at < padded.length; at += 64) compress(state, padded, at);
  return Array.from(state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

const words = new Int32Array(64);

function compress(state, bytes, at) {
  const block = new DataView(bytes.buffer, at, 64);
  for (let i = 0; i < 16; i += 1) words[i] = block.getInt32(4 * i);
  for (let i = 16; i < 64; i += 1) {
    const x = words[i - 15];
    const y = words[i - 2];
    const low = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const high = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    words[i] = words[i - 16] + low + words[i - 7] + high;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i += 1) {
    const mixed = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const first = (h + mixed + ((e & f) ^ (~e & g)) + ROUND[i] + words[i]) | 0;
    const turned = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const second = (turned + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + first) | 0;
    d = c;
    c = b;
    b = a;
    a = (first + second) | 0;
  }
  const rest = [a, b, c, d, e, f, g, h];
  for (let i = 0; i < 8; i += 1) state[i] += rest[i];
}
