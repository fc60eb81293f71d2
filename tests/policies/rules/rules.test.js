import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { decisions } from "./policy.js";

const ORDERS = entity("order.list", ["user", "page"], {
  ttlMs: 60000,
  staleWhileRevalidateMs: 30000,
});
const CATALOGUE = entity("catalogue", [], { ttlMs: 10000 });

const RULES = [
  { entity: "order.list", where: { user: "^guest-", page: "^1$" }, ttl_ms: 240000 },
  { entity: "order.list", where: { page: "^1$" }, ttl_ms: 5000, stale_while_revalidate_ms: 0 },
  { entity: "order.list", where: { page: "^\\d{3,}$" }, ttl_ms: 120000 },
];

beforeEach(() => configure(RULES));

test("the first rule that a read meets gives its lifetime, and no rule the entity's", () => {
  assert.equal(ttl("42", "1"), 5000);
  assert.equal(ttl("guest-7", "1"), 240000);
  assert.equal(ttl("42", "100"), 120000);
  assert.equal(ttl("42", "2"), 60000);
  assert.equal(ttl("42", null), 60000);
});

test("a rule is about its own entity", () => {
  configure([{ entity: "order.list", ttl_ms: 5000 }]);
  const subject = { tag: "entity", val: "catalogue" };
  assert.equal(decisions.plan({ subject, arguments: [] }).memo.note, 0);
  assert.equal(plan("42", "1").memo.note, 1);
});

test("a rule's window for stale answers is its own", () => {
  const stale = {
    ageMs: 6000,
    refreshMs: 0,
    freshMs: 0,
    pastMs: 1000,
    costMs: 20,
    negative: false,
  };
  const action = (page) => step(plan("42", page).memo, { tag: "found", val: stale }).action.tag;
  assert.equal(action("1"), "claim");
  assert.equal(action("2"), "answer-and-refresh");
});

test("rules change how long a read lives and not how it is named", () => {
  const keys = ["1", "2", "100"].map((page) => plan("42", page).key);
  assert.deepEqual(keys, ["v1:order.list:42:1", "v1:order.list:42:2", "v1:order.list:42:100"]);
});

test("the rule goes with the flight into its refresh", () => {
  const due = { ageMs: 4900, refreshMs: 0, freshMs: 100, pastMs: 0, costMs: 20, negative: false };
  const read = step(plan("42", "1").memo, { tag: "found", val: due });
  assert.equal(read.action.tag, "answer-and-refresh");
  const claim = step(read.memo, { tag: "found", val: due });
  const load = step(claim.memo, { tag: "lease-granted" });
  assert.equal(step(load.memo, LOADED).action.val.freshMs, 5000);
});

test("every mistake in the rules is named", () => {
  const wrong = [
    { entity: "nobody" },
    { entity: "order.list", where: { colour: "red", page: "(" }, ttl_ms: 0 },
    { entity: "catalogue", ttl_ms: 40001, stale_if_error_ms: 1.5 },
  ];
  assert.deepEqual(objections(wrong), [
    "rules[0].entity",
    "rules[1].where.colour",
    "rules[1].where.page",
    "rules[1].ttl_ms",
    "rules[2].ttl_ms",
    "rules[2].stale_if_error_ms",
  ]);
  assert.deepEqual(objections({ entity: "catalogue" }), ["rules"]);
});

const LOADED = { tag: "loaded", val: { costMs: 0, bytes: 200, negative: false } };

function configure(rules) {
  const settings = { jitter: 0, early_refresh: 1, rules };
  decisions.configure([CATALOGUE, ORDERS], JSON.stringify(settings));
}

function objections(rules) {
  try {
    configure(rules);
    return [];
  } catch (objections) {
    return objections.map(({ about }) => about.val);
  }
}

function ttl(user, page) {
  const claim = step(plan(user, page).memo, { tag: "absent" });
  const load = step(claim.memo, { tag: "lease-granted" });
  return step(load.memo, LOADED).action.val.freshMs;
}

function plan(user, page) {
  const given = [
    { name: "user", value: user },
    { name: "page", value: page },
  ];
  return decisions.plan({ subject: { tag: "entity", val: "order.list" }, arguments: given });
}

function step(memo, event) {
  return decisions.step(memo, { elapsedMs: 1, leftMs: 2000, entropy: 7n }, event);
}

function entity(name, parameters, terms) {
  return {
    name,
    parameters: parameters.map((name) => ({ name, typeName: "text" })),
    tags: [],
    terms: { negativeTtlMs: 30000, staleWhileRevalidateMs: 0, staleIfErrorMs: 0, ...terms },
    writes: [],
    depends: [],
  };
}
