// SHA-256 (FIPS 180-4): the engine inside a component brings none, and names that strangers can
// influence need a digest without collisions.

/** The first 32 bits of the fractional parts of the n-th roots of the first primes. */
function fractions(root, count) {
  const primes = [];
  for (let n = 2; primes.length < count; n += 1) {
    if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  }
  return primes.map((prime) => Math.floor((prime ** (1 / root) % 1) * 2 ** 32) | 0);
}

const INITIAL = fractions(2, 8);
const ROUND = fractions(3, 64);

const rotate = (word, by) => (word >>> by) | (word << (32 - by));

/** The digest of bytes, in lower-case hexadecimal. */
export function hexDigest(bytes) {
  const padded = [...bytes, 0x80];
  while (padded.length % 64 !== 56) padded.push(0);
  for (let shift = 56, bits = bytes.length * 8; shift >= 0; shift -= 8) {
    padded.push(Math.floor(bits / 2 ** shift) % 256);
  }
  const state = [...INITIAL];
  for (let at = 0; at < padded.length; at += 64) compress(state, padded.slice(at, at + 64));
  return state.map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

function compress(state, block) {
  const words = [];
  for (let i = 0; i < 64; i += 1) {
    if (i < 16) {
      words.push(
        (block[4 * i] << 24) |
          (block[4 * i + 1] << 16) |
          (block[4 * i + 2] << 8) |
          block[4 * i + 3],
      );
    } else {
      const [before, near] = [words[i - 15], words[i - 2]];
      const low = rotate(before, 7) ^ rotate(before, 18) ^ (before >>> 3);
      const high = rotate(near, 17) ^ rotate(near, 19) ^ (near >>> 10);
      words.push((words[i - 16] + low + words[i - 7] + high) | 0);
    }
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i += 1) {
    const mixed = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const first = (h + mixed + ((e & f) ^ (~e & g)) + ROUND[i] + words[i]) | 0;
    const turned = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const second = (turned + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => {
    state[i] = (state[i] + word) | 0;
  });
}
