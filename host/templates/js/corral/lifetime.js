// Support code of Corral: `corral policy new` writes it. Don't edit it; override a decision in
// ../policy.js.
//
// How long a value lives, once its `ttl` is decided.

/** The time that a refresh takes beside its load: until it begins, its claim, its fill. */
const HEAD_START_MS = 20;

/** How much slower than the last load the next one may be. */
const HEAD_START_LOADS = 2;

/**
 * The lifetime of a value that was just loaded. Values that are filled together must not expire
 * together, so the base is spread by ± `jitter`. A value that is in use is renewed before it
 * expires, the earlier the more its load cost (XFetch: Vattani et al., VLDB 2015).
 */
export function lifetime(terms, settings, load, entropy) {
  const [first, second] = dice(entropy);
  const around = (base) => {
    const reach = Math.floor(base * settings.jitter);
    const spread = Math.floor(base) - reach + Math.floor(first * (2 * reach + 1));
    return Math.min(Math.max(spread, 1), 2 ** 32 - 1);
  };
  if (load.negative) {
    // A negative ttl of 0 is a millisecond: what is filled replaces an older value in the store.
    const freshMs = around(terms.negativeTtlMs);
    return { freshMs, staleMs: 0, refreshMs: freshMs };
  }
  const freshMs = around(terms.ttlMs);
  const ahead =
    HEAD_START_MS + load.costMs * (HEAD_START_LOADS - settings.earlyRefresh * Math.log(1 - second));
  const early = settings.earlyRefresh > 0 ? freshMs - Math.floor(ahead) : freshMs;
  return {
    freshMs,
    staleMs: Math.max(terms.staleWhileRevalidateMs, terms.staleIfErrorMs),
    // Never in the first half of a life, so that a key has at most twice the loads.
    refreshMs: Math.max(early, Math.ceil(freshMs / 2)),
  };
}

/** Two independent numbers, at least 0 and below 1, of a step's 64 random bits. */
function dice(entropy) {
  const bits = BigInt(entropy);
  return [
    Number((bits >> 32n) & 0xffffffffn) / 2 ** 32,
    Number((bits >> 11n) & 0x1fffffn) / 2 ** 21,
  ];
}
