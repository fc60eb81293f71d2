"""Tests of this policy's decisions, in this Python. `corral policy test policy.wasm` checks the
component against what every policy has to do."""

import unittest

import app
from wit_world.exports import types as t

ID = t.Source_Argument("id")
TAG = [t.Piece_Text("user:"), t.Piece_Value(ID)]

RENAME = t.Write(
    name="rename",
    parameters=[t.Parameter("id", "int8"), t.Parameter("name", "text")],
    way=t.Way.REMOVED,
    touches=[t.Touch_Read(t.TouchedRead("user.profile", [ID])), t.Touch_Tag(TAG)],
)

PROFILE = t.Entity(
    name="user.profile",
    parameters=[t.Parameter("id", "int8")],
    tags=[TAG],
    terms=t.Terms(
        ttl_ms=300_000,
        negative_ttl_ms=30_000,
        stale_while_revalidate_ms=0,
        stale_if_error_ms=0,
    ),
    writes=[RENAME],
    depends=[],
)


class PolicyTest(unittest.TestCase):
    def setUp(self):
        self.policy = app.Decisions()
        self.policy.configure([PROFILE], '{"jitter": 0}')

    def test_a_value_that_is_cheap_to_load_lives_for_half_as_long(self):
        self.assertEqual(self.fresh_ms(cost_ms=9), 150_000)
        self.assertEqual(self.fresh_ms(cost_ms=10), 300_000)

    def test_a_read_has_a_key_and_a_tag(self):
        plan = self.policy.plan(read("42"))
        self.assertEqual((plan.key, plan.tags), ("v1:user.profile:42", ["user:42"]))

    def test_a_write_touches_what_the_configuration_says(self):
        given = [t.Argument("id", "42"), t.Argument("name", "Ada")]
        change = t.Change_Written(t.Written("user.profile", "rename", given, []))
        scopes = [target.scope for target in self.policy.invalidate(change)]
        self.assertEqual(scopes, [t.Scope_Read(read("42")), t.Scope_Tag("user:42")])

    def fresh_ms(self, cost_ms):
        """How long a value is fresh if a cold read loaded it at this cost."""
        memo = self.policy.plan(read("42")).memo
        loaded = t.Event_Loaded(t.LoadReport(cost_ms=cost_ms, bytes=200, negative=False))
        for event in (t.Event_Absent(), t.Event_LeaseGranted(), loaded):
            turn = self.policy.step(memo, t.Moment(1, 2_000, entropy=0), event)
            memo = turn.memo
        return turn.action.value.fresh_ms


def read(id):
    return t.Request(t.Subject_Entity("user.profile"), [t.Argument("id", id)])


if __name__ == "__main__":
    unittest.main()
