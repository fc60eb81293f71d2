// One read's way through the stampede, as a state machine: where the flight is (`memo.phase`) and
// what happened (`event`) give the next phase and the action to take.
//
// A fill needs a load under a lease, a load needs a granted lease, and whoever does not get one
// waits for its holder. What can't have happened asks the origin and stores nothing.
import { lifetime } from "./lifetime.js";

const LOOKING = 0,
  CLAIMING = 1,
  WAITING = 2,
  LOADING = 3,
  FILLING = 4,
  LOADING_UNCACHED = 5;
const REFRESHING = 6,
  REFRESH_CLAIMING = 7,
  REFRESH_LOADING = 8,
  REFRESH_FILLING = 9,
  DONE = 10;

/** How often a claim may find a value that is of no use before the flight goes around the store. */
const USELESS_CLAIMS_MAX = 3;

export function step(settings, memo, moment, event) {
  const terms = settings.termsOf(memo.spare);
  const turn = terms && on(settings, terms, memo, moment, event);
  return turn ?? astray(memo, event);
}

function on(settings, terms, memo, moment, event) {
  const seen = event.val;
  const claim = (phase, changes) => to(memo, phase, "claim", settings.leaseMs, changes);
  switch (`${memo.phase} ${event.tag}`) {
    case `${LOOKING} absent`:
    case `${LOOKING} bypassed`:
    case `${WAITING} waited`:
      return claim(CLAIMING);
    case `${LOOKING} found`:
      return usable(settings, terms, memo, seen) ?? claim(CLAIMING);
    case `${LOOKING} store-unavailable`:
    case `${CLAIMING} store-unavailable`:
      return to(memo, LOADING_UNCACHED, "load-uncached");
    case `${CLAIMING} lease-granted`:
      return to(memo, LOADING, "load");
    case `${CLAIMING} lease-held`:
      return wait(memo, moment, event.val);
    case `${CLAIMING} found`: {
      const attempts = memo.attempts + 1;
      return (
        usable(settings, terms, memo, seen) ??
        (attempts < USELESS_CLAIMS_MAX
          ? claim(CLAIMING, { attempts })
          : to(memo, LOADING_UNCACHED, "load-uncached"))
      );
    }
    case `${LOADING} loaded`:
      return to(memo, FILLING, "fill", lifetime(settings, terms, event.val, moment.entropy));
    case `${LOADING} load-failed`:
    case `${LOADING_UNCACHED} load-failed`:
      return settle(terms, memo, event.val.atHand);
    case `${LOADING_UNCACHED} loaded`:
    case `${FILLING} filled`:
    case `${FILLING} fill-rejected`:
    case `${FILLING} store-unavailable`:
    case `${REFRESH_FILLING} filled`:
    case `${REFRESH_FILLING} fill-rejected`:
    case `${REFRESH_FILLING} store-unavailable`:
      return to(memo, DONE, "answer");

    // A refresh in the background waits for nobody: who holds the lease does what it is for.
    case `${REFRESHING} found`:
    case `${REFRESHING} absent`:
      return claim(REFRESH_CLAIMING);
    case `${REFRESH_CLAIMING} lease-granted`:
      return to(memo, REFRESH_LOADING, "load");
    case `${REFRESHING} store-unavailable`:
    case `${REFRESH_CLAIMING} store-unavailable`:
    case `${REFRESH_CLAIMING} lease-held`:
    case `${REFRESH_CLAIMING} found`:
      return to(memo, DONE, "answer");
    case `${REFRESH_LOADING} loaded`:
      return to(
        memo,
        REFRESH_FILLING,
        "fill",
        lifetime(settings, terms, event.val, moment.entropy),
      );
    case `${REFRESH_LOADING} load-failed`:
      return to(memo, DONE, "fail");
    default:
      return undefined;
  }
}

/** The end of the flight, if what was seen may be answered. */
function usable(settings, terms, memo, seen) {
  const fresh = seen.freshMs > 0;
  const due = seen.refreshMs === 0 && settings.earlyRefresh > 0;
  if (fresh && !due) return to(memo, DONE, "answer");
  if (fresh || staleWithin(seen, terms.staleWhileRevalidateMs)) {
    return to(memo, REFRESHING, "answer-and-refresh", undefined, { attempts: 0 });
  }
  return undefined;
}

/** As long as the lease may last: while its holder renews it, waiting is right. */
function wait(memo, moment, heldMs) {
  const waitMs = Math.min(Math.max(heldMs, 1), moment.leftMs);
  if (waitMs === 0) return to(memo, LOADING_UNCACHED, "load-uncached");
  return to(memo, WAITING, "wait", waitMs);
}

/** The load failed: what is at hand will do if it is fresh, or stale as far as the entity allows. */
function settle(terms, memo, atHand) {
  const willDo = atHand && (atHand.freshMs > 0 || staleWithin(atHand, terms.staleIfErrorMs));
  return to(memo, DONE, willDo ? "answer" : "fail");
}

/** That a row did not exist a while ago is no answer. */
function staleWithin(seen, windowMs) {
  return seen.freshMs === 0 && seen.pastMs < windowMs && !seen.negative;
}

function astray(memo, event) {
  switch (event.tag) {
    case "loaded":
    case "filled":
    case "fill-rejected":
      return to(memo, DONE, "answer");
    case "load-failed":
      return to(memo, DONE, "fail");
    default:
      return to(memo, LOADING_UNCACHED, "load-uncached");
  }
}

function to(memo, phase, tag, val, changes) {
  return {
    memo: { ...memo, ...changes, phase },
    action: val === undefined ? { tag } : { tag, val },
  };
}
