"""One read's way through the stampede, as a state machine: where the flight is (`memo.phase`) and
what happened (`event`) give the next phase and the action to take.

A fill needs a load under a lease, a load needs a granted lease, and whoever does not get one waits
for its holder. What can't have happened asks the origin and stores nothing."""

from dataclasses import replace
from enum import IntEnum, auto

from lifetime import lifetime
from wit_world.exports import types as t

# How often a claim may find a value that is of no use before the flight goes around the store.
USELESS_CLAIMS_MAX = 3


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


def step(settings, memo, moment, event):
    terms = settings.terms(memo.spare)
    turn = terms and on(settings, terms, memo, moment, event)
    return turn or astray(memo, event)


def on(settings, terms, memo, moment, event):
    claim = t.Action_Claim(settings.lease_ms)
    match memo.phase, event:
        case Phase.LOOKING, t.Event_Absent() | t.Event_Bypassed():
            return to(memo, Phase.CLAIMING, claim)
        case Phase.WAITING, t.Event_Waited():
            return to(memo, Phase.CLAIMING, claim)
        case Phase.LOOKING, t.Event_Found(seen):
            return usable(settings, terms, memo, seen) or to(memo, Phase.CLAIMING, claim)
        case Phase.LOOKING | Phase.CLAIMING, t.Event_StoreUnavailable():
            return to(memo, Phase.LOADING_UNCACHED, t.Action_LoadUncached())
        case Phase.CLAIMING, t.Event_LeaseGranted():
            return to(memo, Phase.LOADING, t.Action_Load())
        case Phase.CLAIMING, t.Event_LeaseHeld(held_ms):
            return wait(memo, moment, held_ms)
        case Phase.CLAIMING, t.Event_Found(seen):
            return usable(settings, terms, memo, seen) or claim_again(memo, claim)
        case Phase.LOADING, t.Event_Loaded(report):
            fill = t.Action_Fill(lifetime(settings, terms, report, moment.entropy))
            return to(memo, Phase.FILLING, fill)
        case Phase.LOADING | Phase.LOADING_UNCACHED, t.Event_LoadFailed(failure):
            return settle(terms, memo, failure.at_hand)
        case Phase.LOADING_UNCACHED, t.Event_Loaded():
            return to(memo, Phase.DONE, t.Action_Answer())
        case (
            Phase.FILLING | Phase.REFRESH_FILLING,
            t.Event_Filled() | t.Event_FillRejected() | t.Event_StoreUnavailable(),
        ):
            return to(memo, Phase.DONE, t.Action_Answer())

        # A refresh in the background waits for nobody: who holds the lease does what it is for.
        case Phase.REFRESHING, t.Event_Found() | t.Event_Absent():
            return to(memo, Phase.REFRESH_CLAIMING, claim)
        case Phase.REFRESH_CLAIMING, t.Event_LeaseGranted():
            return to(memo, Phase.REFRESH_LOADING, t.Action_Load())
        case Phase.REFRESHING | Phase.REFRESH_CLAIMING, t.Event_StoreUnavailable():
            return to(memo, Phase.DONE, t.Action_Answer())
        case Phase.REFRESH_CLAIMING, t.Event_LeaseHeld() | t.Event_Found():
            return to(memo, Phase.DONE, t.Action_Answer())
        case Phase.REFRESH_LOADING, t.Event_Loaded(report):
            fill = t.Action_Fill(lifetime(settings, terms, report, moment.entropy))
            return to(memo, Phase.REFRESH_FILLING, fill)
        case Phase.REFRESH_LOADING, t.Event_LoadFailed():
            return to(memo, Phase.DONE, t.Action_Fail())
    return None


def usable(settings, terms, memo, seen):
    """The end of the flight, if what was seen may be answered."""
    fresh = seen.fresh_ms > 0
    due = seen.refresh_ms == 0 and settings.early_refresh > 0
    if fresh and not due:
        return to(memo, Phase.DONE, t.Action_Answer())
    if fresh or stale_within(seen, terms.stale_while_revalidate_ms):
        return to(memo, Phase.REFRESHING, t.Action_AnswerAndRefresh(), attempts=0)
    return None


def claim_again(memo, claim):
    attempts = memo.attempts + 1
    if attempts >= USELESS_CLAIMS_MAX:
        return to(memo, Phase.LOADING_UNCACHED, t.Action_LoadUncached())
    return to(memo, Phase.CLAIMING, claim, attempts=attempts)


def wait(memo, moment, held_ms):
    """As long as the lease may last: while its holder renews it, waiting is right."""
    wait_ms = min(max(held_ms, 1), moment.left_ms)
    if wait_ms == 0:
        return to(memo, Phase.LOADING_UNCACHED, t.Action_LoadUncached())
    return to(memo, Phase.WAITING, t.Action_Wait(wait_ms))


def settle(terms, memo, at_hand):
    """The load failed: what is at hand will do if it is fresh, or stale as far as allowed."""
    will_do = at_hand and (at_hand.fresh_ms > 0 or stale_within(at_hand, terms.stale_if_error_ms))
    return to(memo, Phase.DONE, t.Action_Answer() if will_do else t.Action_Fail())


def stale_within(seen, window_ms):
    """That a row did not exist a while ago is no answer."""
    return seen.fresh_ms == 0 and seen.past_ms < window_ms and not seen.negative


def astray(memo, event):
    match event:
        case t.Event_Loaded() | t.Event_Filled() | t.Event_FillRejected():
            return to(memo, Phase.DONE, t.Action_Answer())
        case t.Event_LoadFailed():
            return to(memo, Phase.DONE, t.Action_Fail())
    return to(memo, Phase.LOADING_UNCACHED, t.Action_LoadUncached())


def to(memo, phase, action, **changes):
    return t.Turn(memo=replace(memo, phase=phase, **changes), action=action)
