// What this policy decides, in Node. `corral policy test policy.wasm` holds the component to what
// every policy has to do.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { decisions } from "./policy.js";

const SETTINGS = {
  entities: {
    "user.profile": {
      params: ["id"],
      ttl_ms: 300000,
      tags: ["user:{id}"],
      writes: {
        rename: { params: ["id", "name"], touches: ["user.profile(id)", "tag user:{id}"] },
      },
    },
  },
};

beforeEach(() => decisions.configure(JSON.stringify(SETTINGS)));

test("two values that look alike have keys of their own", () => {
  const keys = ["42", "42:", "~", undefined].map((id) => plan(id).key);
  assert.deepEqual(keys, [
    "v1:user.profile:42",
    "v1:user.profile:42%3A",
    "v1:user.profile:%7E",
    "v1:user.profile:~",
  ]);
});

test("a value too long for a key is digested", () => {
  const key = plan("x".repeat(1000)).key;
  assert.match(key, /^v1:user\.profile:~[0-9a-f]{64}$/);
  assert.notEqual(key, plan("x".repeat(999) + "y").key);
});

test("a cold read claims, loads and fills for the base give or take the jitter", () => {
  // Inside a component entropy is a number, with 53 of its bits.
  const lifetimes = [0n, 2n ** 64n - 1n, 0, 2 ** 64 - 2 ** 11].map((entropy) => {
    const claim = step(plan("42").memo, { tag: "absent" }, entropy);
    assert.deepEqual(claim.action, { tag: "claim", val: 1000 });
    const load = step(claim.memo, { tag: "lease-granted" }, entropy);
    assert.deepEqual(load.action, { tag: "load" });
    const report = { costMs: 20, bytes: 200, negative: false };
    return step(load.memo, { tag: "loaded", val: report }, entropy).action.val.freshMs;
  });
  assert.deepEqual(lifetimes, [240000, 360000, 240000, 360000]);
});

test("a held lease is waited for", () => {
  const claim = step(plan("42").memo, { tag: "absent" });
  const wait = step(claim.memo, { tag: "lease-held", val: 700 });
  assert.deepEqual(wait.action, { tag: "wait", val: 700 });
  assert.equal(step(wait.memo, { tag: "waited" }).action.tag, "claim");
});

test("a write touches what the configuration says", () => {
  const given = [
    { name: "id", value: "42" },
    { name: "name", value: "x" },
  ];
  const change = { entity: "user.profile", write: "rename", arguments: given, rows: [] };
  const scopes = decisions.invalidate(change).map((target) => target.scope);
  assert.deepEqual(scopes, [
    { tag: "read", val: request("42") },
    { tag: "tag", val: "user:42" },
  ]);
});

function plan(id) {
  return decisions.plan(request(id));
}

function step(memo, event, entropy = 0n) {
  return decisions.step(memo, { elapsedMs: 1, leftMs: 2000, entropy }, event);
}

function request(id) {
  return {
    subject: { tag: "entity", val: "user.profile" },
    arguments: [{ name: "id", value: id }],
  };
}
