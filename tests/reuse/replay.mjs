// Replays recorded calls in Node, on a policy that jco made a module of, and compares the answers:
//   npx jco transpile policy.wasm --out-dir policy --name policy
//   node replay.mjs policy/policy.js calls.jsonl
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { isDeepStrictEqual } from "node:util";

const [module, calls] = process.argv.slice(2);
const { decisions } = await import(pathToFileURL(resolve(module)));

/** A result's error is thrown; everywhere else an answer is a value. */
function answer(name, given) {
  const withResult = name === "plan" || name === "rowTags";
  try {
    const value = decisions[name](...given);
    return withResult ? { tag: "ok", val: value } : value;
  } catch (error) {
    if (!withResult || error.payload === undefined) throw error;
    return { tag: "err", val: error.payload };
  }
}

/** As JSON has it: what is not there is null. */
function plain(value) {
  return JSON.parse(JSON.stringify(value, (_, part) => (part === undefined ? null : part)));
}

let same = 0;
for await (const line of createInterface({ input: createReadStream(calls) })) {
  // 64 bits are more than a number in JSON holds here, so entropy is a text.
  const call = JSON.parse(line, (name, part) => (name === "entropy" ? BigInt(part) : part));
  if (call.function === "configure") {
    decisions.configure(...call.arguments);
    continue;
  }
  const seen = plain(answer(call.function, call.arguments));
  if (!isDeepStrictEqual(seen, plain(call.answer))) {
    console.error(`${line}\nanswered ${JSON.stringify(seen)}`);
    process.exit(1);
  }
  same += 1;
}
console.log(`${same} answers are the same`);
