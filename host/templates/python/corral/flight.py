# Support code of Corral: `corral policy new` writes it. Don't edit it; override a decision in
# app.py.
"""One read's way through the stampede, as a state machine: where the flight is (`memo.phase`) and
what happened (`event`) give the next phase and the action to take.

A fill needs a load under a lease, a load needs a granted lease, and a flight that gets no lease
waits for its holder. An event that can't have happened asks the origin and stores nothing."""

from dataclasses import dataclass, replace
from enum import IntEnum, auto

from corral.lifetime import draw
from corral.settings import Settings
from wit_world.exports import types as t

# At so many claims with a value that may not be answered, the flight loads without the store.
USELESS_CLAIMS_MAX = 3

# A phase stands in the low bits of a memo's `phase`, the count of such claims above them.
PHASE_BITS = 4
PHASE_MASK = (1 << PHASE_BITS) - 1


class Phase(IntEnum):
    LOOKING = 0
    CLAIMING = auto()
    WAITING = auto()
    LOADING = auto()
    FILLING = auto()
    LOADING_UNCACHED = auto()
    REFRESHING = auto()
    REFRESH_CLAIMING = auto()
    REFRESH_LOADING = auto()
    REFRESH_FILLING = auto()
    DONE = auto()


def begin(terms, note):
    """The memo of a read's first step."""
    return t.Memo(phase=Phase.LOOKING, since_ms=0, terms=terms, note=note)


def step(terms, settings, memo, moment, event):
    return Flight(terms, settings, memo, moment).on(event) or astray(memo, event)


def astray(memo, event):
    """The turn for an event that can't have happened; it is right in every case."""
    match event:
        case t.Event_Loaded() | t.Event_Filled() | t.Event_FillRejected():
            phase, action = Phase.DONE, t.Action_Answer()
        case t.Event_LoadFailed():
            phase, action = Phase.DONE, t.Action_Fail()
        case _:
            phase, action = Phase.LOADING_UNCACHED, t.Action_LoadUncached()
    return t.Turn(replace(memo, phase=phase), action)


@dataclass
class Flight:
    """One step's arguments; the memo is the step's own and changes."""

    terms: t.Terms
    settings: Settings
    memo: t.Memo
    moment: t.Moment

    def on(self, event):
        """The turn; None if this event can't have happened in this phase."""
        match self.memo.phase & PHASE_MASK, event:
            case Phase.LOOKING, t.Event_Absent() | t.Event_Bypassed():
                return self.claim()
            case Phase.LOOKING, t.Event_Found(seen):
                return self.usable(seen) or self.claim()
            case Phase.LOOKING | Phase.CLAIMING, t.Event_StoreUnavailable():
                return self.load_uncached()
            case Phase.CLAIMING, t.Event_LeaseGranted():
                return self.to(Phase.LOADING, t.Action_Load())
            case Phase.CLAIMING, t.Event_LeaseHeld(held_ms):
                return self.wait(held_ms)
            case Phase.CLAIMING, t.Event_Found(seen):
                return self.usable(seen) or self.claim_again()
            case Phase.WAITING, t.Event_Waited():
                return self.claim()
            case Phase.LOADING, t.Event_Loaded(load):
                return self.fill(Phase.FILLING, load)
            case Phase.LOADING | Phase.LOADING_UNCACHED, t.Event_LoadFailed(failure):
                return self.settle(failure.at_hand)
            case Phase.LOADING_UNCACHED, t.Event_Loaded():
                return self.to(Phase.DONE, t.Action_Answer())
            case (
                Phase.FILLING | Phase.REFRESH_FILLING,
                t.Event_Filled() | t.Event_FillRejected() | t.Event_StoreUnavailable(),
            ):
                return self.to(Phase.DONE, t.Action_Answer())

            # A refresh in the background does not wait: the lease's holder loads the value already.
            case Phase.REFRESHING, t.Event_Found() | t.Event_Absent():
                return self.to(Phase.REFRESH_CLAIMING, t.Action_Claim(self.settings.lease_ms))
            case Phase.REFRESH_CLAIMING, t.Event_LeaseGranted():
                return self.to(Phase.REFRESH_LOADING, t.Action_Load())
            case Phase.REFRESH_CLAIMING, t.Event_LeaseHeld() | t.Event_Found():
                return self.to(Phase.DONE, t.Action_Answer())
            case Phase.REFRESHING | Phase.REFRESH_CLAIMING, t.Event_StoreUnavailable():
                return self.to(Phase.DONE, t.Action_Answer())
            case Phase.REFRESH_LOADING, t.Event_Loaded(load):
                return self.fill(Phase.REFRESH_FILLING, load)
            case Phase.REFRESH_LOADING, t.Event_LoadFailed():
                return self.to(Phase.DONE, t.Action_Fail())
        return None

    def to(self, phase, action):
        self.memo.phase = phase | self.memo.phase & ~PHASE_MASK
        return t.Turn(self.memo, action)

    def claim(self):
        return self.to(Phase.CLAIMING, t.Action_Claim(self.settings.lease_ms))

    def load_uncached(self):
        return self.to(Phase.LOADING_UNCACHED, t.Action_LoadUncached())

    def usable(self, seen):
        """The end of the flight; None if the value that was seen may not be answered."""
        fresh = seen.fresh_ms > 0
        due = seen.refresh_ms == 0 and self.settings.early_refresh > 0
        if fresh and not due:
            return self.to(Phase.DONE, t.Action_Answer())
        if fresh or stale_within(seen, self.terms.stale_while_revalidate_ms):
            # The refresh is a new flight: it has had no useless claim and has not waited.
            self.memo.phase = self.memo.since_ms = 0
            return self.to(Phase.REFRESHING, t.Action_AnswerAndRefresh())
        return None

    def claim_again(self):
        useless_claims = (self.memo.phase >> PHASE_BITS) + 1
        if useless_claims >= USELESS_CLAIMS_MAX:
            return self.load_uncached()
        self.memo.phase = useless_claims << PHASE_BITS
        return self.claim()

    def wait(self, held_ms):
        """As long as the lease may last: while it is renewed, its holder's load is alive. Patience
        or the deadline ends the waiting."""
        # A wait that began at 0 is written as 1, since 0 says that there was none.
        since_ms = self.memo.since_ms or max(self.moment.elapsed_ms, 1)
        wait_ms = min(max(held_ms, 1), self.moment.left_ms)
        if self.settings.patience_ms > 0:
            waited_ms = max(self.moment.elapsed_ms - since_ms, 0)
            wait_ms = min(wait_ms, self.settings.patience_ms - waited_ms)
        if wait_ms <= 0:
            return self.load_uncached()
        self.memo.since_ms = since_ms
        return self.to(Phase.WAITING, t.Action_Wait(wait_ms))

    def fill(self, phase, load):
        lifetime = draw(self.terms, self.settings, load, self.moment.entropy)
        return self.to(phase, t.Action_Fill(lifetime))

    def settle(self, at_hand):
        """A load failed: a value at hand is answered if it is fresh, or stale within the terms."""
        stale_ms = self.terms.stale_if_error_ms
        will_do = at_hand and (at_hand.fresh_ms > 0 or stale_within(at_hand, stale_ms))
        return self.to(Phase.DONE, t.Action_Answer() if will_do else t.Action_Fail())


def stale_within(seen, window_ms):
    """That a row did not exist a while ago answers no read."""
    return seen.fresh_ms == 0 and seen.past_ms < window_ms and not seen.negative
