// Support code of Corral: `corral policy new` writes it. Don't edit it; override a decision in
// ../policy.js.
//
// The settings that every policy has, and the form of objections to settings.

/** 30 days: the longest duration that settings or a query may ask for. */
export const DURATION_MAX_MS = 2592000000;

const aNumber = (low, high) => ({
  isLegal: (value) => typeof value === "number" && value >= low && value <= high,
  wanted: `a number from ${low} to ${high}`,
});
const aWholeNumber = (low, high) => ({
  isLegal: (value) => Number.isInteger(value) && value >= low && value <= high,
  wanted: `a whole number from ${low} to ${high}`,
});
const aName = {
  isLegal: (value) => typeof value === "string" && /^[a-z0-9._-]{1,32}$/.test(value),
  wanted: "a text, 1 to 32 of letters in lower case, digits and `. _ -`",
};

/** The name that the operator writes, the default, and what is legal. */
const SETTINGS = {
  // Every key begins with it; under another namespace nothing that was stored before is found.
  namespace: ["namespace", "v1", aName],
  // How far a lifetime may be from its base, as a fraction of the base.
  jitter: ["jitter", 0.2, aNumber(0, 0.9)],
  // XFetch's β: 1 is the paper's optimum, more is earlier, 0 is no early refresh at all.
  earlyRefresh: ["early_refresh", 1, aNumber(0, 10)],
  // How long a lease a claim asks for: how long a dead holder keeps other flights waiting.
  leaseMs: ["lease_ms", 1000, aWholeNumber(100, 60000)],
  // How long a flight waits for others before it loads on its own; 0 means until its deadline.
  patienceMs: ["patience_ms", 0, aWholeNumber(0, DURATION_MAX_MS)],
};

/** An objection to the policy's own settings, at a path into them: `rules[0].ttl_ms`. */
export function objection(path, message) {
  return { about: { tag: "setting", val: path }, message };
}

/** `[policy.settings]`, as an object. */
export function parseSettings(text) {
  try {
    const given = JSON.parse(text);
    if (typeof given === "object" && given !== null && !Array.isArray(given)) return given;
  } catch (error) {
    throw [objection("", `is not JSON: ${error.message}`)];
  }
  throw [objection("", "is not a JSON object")];
}

/** The settings that every policy has, and every objection; `others` names this policy's own. */
export function readSettings(given, others) {
  const settings = {};
  const objections = [];
  for (const [field, [name, fallback, { isLegal, wanted }]] of Object.entries(SETTINGS)) {
    const value = given[name];
    settings[field] = value ?? fallback;
    if (value === undefined || isLegal(value)) continue;
    objections.push(objection(name, `must be ${wanted}, not ${JSON.stringify(value)}`));
  }
  const known = [...Object.values(SETTINGS).map(([name]) => name), ...others];
  for (const name of Object.keys(given).filter((name) => !known.includes(name))) {
    objections.push(objection(name, `is unknown here; known are \`${known.join("`, `")}\``));
  }
  return { settings, objections };
}
