// Support code of Corral: `corral policy new` writes it. Don't edit it; override a decision in
// ../policy.js.
//
// componentize-qjs 0.4.5 hands over numbers from 2³¹ on as negative ones, and expects them so.

/** The same functions, which see and return numbers as the contract means them. */
export function withSigns(functions) {
  const wrapped = Object.entries(functions).map(([name, decide]) => {
    return [name, (...given) => signed(decide(...given.map(unsigned)))];
  });
  return Object.fromEntries(wrapped);
}

const unsigned = (value) => each(value, (number) => (number < 0 ? number + 2 ** 32 : number));
const signed = (value) => each(value, (number) => number | 0);

/** Converts every number inside a value, in its place. */
function each(value, convert) {
  if (typeof value !== "object" || value === null) return value;
  for (const name in value) {
    const item = value[name];
    if (typeof item !== "number") each(item, convert);
    // Entropy has 64 bits, and stays as it is.
    else if (name !== "entropy") value[name] = convert(item);
  }
  return value;
}
