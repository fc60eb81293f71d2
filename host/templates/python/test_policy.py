"""What this policy decides, in this Python. `corral policy test policy.wasm` holds the component to
what every policy has to do."""

import json
import unittest

import app
from wit_world.exports import types as t

SETTINGS = {
    "entities": {
        "user.profile": {
            "params": ["id"],
            "ttl_ms": 300_000,
            "tags": ["user:{id}"],
            "writes": {
                "rename": {
                    "params": ["id", "name"],
                    "touches": ["user.profile(id)", "tag user:{id}"],
                }
            },
        }
    }
}


class PolicyTest(unittest.TestCase):
    def setUp(self):
        self.policy = app.Decisions()
        self.policy.configure(json.dumps(SETTINGS))

    def test_two_values_that_look_alike_have_keys_of_their_own(self):
        keys = [self.plan(id).key for id in ("42", "42:", "~", None)]
        rendered = ["42", "42%3A", "%7E", "~"]
        self.assertEqual(keys, [f"v1:user.profile:{value}" for value in rendered])

    def test_a_cold_read_claims_loads_and_fills_for_the_base_give_or_take_the_jitter(self):
        lifetimes = []
        for entropy in (0, 2**64 - 1):
            claim = self.step(self.plan("42").memo, t.Event_Absent(), entropy)
            self.assertEqual(claim.action, t.Action_Claim(1_000))
            load = self.step(claim.memo, t.Event_LeaseGranted(), entropy)
            self.assertEqual(load.action, t.Action_Load())
            loaded = t.Event_Loaded(t.Report(cost_ms=20, bytes=200, negative=False))
            lifetimes.append(self.step(load.memo, loaded, entropy).action.value.fresh_ms)
        self.assertEqual(lifetimes, [240_000, 360_000])

    def test_a_held_lease_is_waited_for(self):
        claim = self.step(self.plan("42").memo, t.Event_Absent())
        wait = self.step(claim.memo, t.Event_LeaseHeld(700))
        self.assertEqual(wait.action, t.Action_Wait(700))
        self.assertEqual(self.step(wait.memo, t.Event_Waited()).action, t.Action_Claim(1_000))

    def test_a_write_touches_what_the_configuration_says(self):
        given = [t.Argument("id", "42"), t.Argument("name", "x")]
        targets = self.policy.invalidate(t.Change("user.profile", "rename", given, []))
        scopes = [target.scope for target in targets]
        self.assertEqual(scopes, [t.Scope_Read(request("42")), t.Scope_Tag("user:42")])

    def plan(self, id):
        return self.policy.plan(request(id))

    def step(self, memo, event, entropy=0):
        return self.policy.step(memo, t.Moment(1, 2_000, entropy), event)


def request(id):
    return t.Request(t.Subject_Entity("user.profile"), [t.Argument("id", id)])


if __name__ == "__main__":
    unittest.main()
