// Tests of this policy's decisions, in Node. `corral policy test policy.wasm` checks the component
// against what every policy has to do.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { decisions } from "./policy.js";

const ID = { tag: "argument", val: "id" };
const USER_TAG = [
  { tag: "text", val: "user:" },
  { tag: "value", val: ID },
];

/** An entity as the host hands it over; the configuration says `tags = ["user:{id}"]` etc. */
const PROFILE = {
  name: "user.profile",
  parameters: [{ name: "id", typeName: "int8" }],
  tags: [USER_TAG],
  terms: {
    ttlMs: 300000,
    negativeTtlMs: 30000,
    staleWhileRevalidateMs: 0,
    staleIfErrorMs: 0,
  },
  writes: [
    {
      name: "rename",
      parameters: [{ name: "id", typeName: "int8" }],
      way: "removed",
      touches: [
        { tag: "read", val: { entity: "user.profile", arguments: [ID] } },
        { tag: "tag", val: USER_TAG },
      ],
    },
  ],
  depends: [],
};

beforeEach(() => decisions.configure([PROFILE], JSON.stringify({ jitter: 0 })));

test("a cheap value lives for half of the ttl, a dear one for all of it", () => {
  assert.deepEqual([0, 9, 10, 500].map(freshMs), [150000, 150000, 300000, 300000]);
});

test("values that look alike have keys of their own", () => {
  const keys = ["42", "42:", "~", null].map((id) => decisions.plan(profile(id)).key);
  const segments = ["42", "42%3A", "%7E", "~"];
  assert.deepEqual(
    keys,
    segments.map((segment) => `v1:user.profile:${segment}`),
  );
});

test("a write touches what the configuration says", () => {
  const written = { entity: "user.profile", write: "rename", arguments: [id("42")], rows: [] };
  assert.deepEqual(decisions.invalidate({ tag: "written", val: written }), [
    { scope: { tag: "read", val: profile("42") }, way: "removed" },
    { scope: { tag: "tag", val: "user:42" }, way: "removed" },
  ]);
});

/** How long a value is fresh if a cold read loads it at this cost. */
function freshMs(costMs) {
  const moment = { elapsedMs: 1, leftMs: 2000, entropy: 7n };
  const claim = decisions.step(decisions.plan(profile("42")).memo, moment, { tag: "absent" });
  const load = decisions.step(claim.memo, moment, { tag: "lease-granted" });
  const loaded = { tag: "loaded", val: { costMs, bytes: 200, negative: false } };
  return decisions.step(load.memo, moment, loaded).action.val.freshMs;
}

function profile(value) {
  return { subject: { tag: "entity", val: "user.profile" }, arguments: [id(value)] };
}

function id(value) {
  return { name: "id", value };
}
