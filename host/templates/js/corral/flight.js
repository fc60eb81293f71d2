// Support code of Corral: `corral policy new` writes it. Don't edit it; override a decision in
// ../policy.js.
//
// One read's way through the stampede, as a state machine: where the flight is and what happened
// give the next phase and the action to take.
//
// A fill needs a load under a lease, a load needs a granted lease, and a flight that gets no lease
// waits for its holder. An event that can't have happened asks the origin and stores nothing.
import { lifetime } from "./lifetime.js";

/** In the order of their numbers, which stand in the low bits of `memo.phase`. */
const PHASES = [
  "looking",
  "claiming",
  "waiting",
  "loading",
  "filling",
  "loading-uncached",
  "refreshing",
  "refresh-claiming",
  "refresh-loading",
  "refresh-filling",
  "done",
];

/** The bits above these count the claims that brought a value that may not be answered. */
const USELESS_CLAIM = 16;

/** The count at which the flight loads without the store. */
const USELESS_CLAIMS_MAX = 3;

/** The memo of a read's first step. */
export function begin(terms, note) {
  return { phase: 0, sinceMs: 0, terms, note };
}

/** One transition. */
export function step(terms, settings, memo, moment, event) {
  const flight = new Flight(terms, settings, memo, moment);
  return flight.on(event) ?? astray(memo, event);
}

/** Right in every case: a loaded value is answered, and nothing is stored. */
const ASTRAY = {
  loaded: ["done", "answer"],
  filled: ["done", "answer"],
  "fill-rejected": ["done", "answer"],
  "load-failed": ["done", "fail"],
};

/** The turn for an event that no correct host sends. */
export function astray(memo, event) {
  const [phase, tag] = ASTRAY[event.tag] ?? ["loading-uncached", "load-uncached"];
  return { memo: { ...memo, phase: PHASES.indexOf(phase) }, action: { tag } };
}

class Flight {
  constructor(terms, settings, memo, moment) {
    this.terms = terms;
    this.settings = settings;
    this.memo = memo;
    this.moment = moment;
  }

  on({ tag, val }) {
    switch (`${PHASES[this.memo.phase % USELESS_CLAIM]} ${tag}`) {
      case "looking absent":
      case "looking bypassed":
      case "waiting waited":
        return this.claim();
      case "looking found":
        return this.answer(val) ?? this.claim();
      case "looking store-unavailable":
      case "claiming store-unavailable":
        return this.to("loading-uncached", "load-uncached");
      case "claiming lease-granted":
        return this.to("loading", "load");
      case "claiming lease-held":
        return this.wait(val);
      case "claiming found":
        return this.answer(val) ?? this.claimAgain();
      case "loading loaded":
        return this.fill("filling", val);
      case "loading load-failed":
      case "loading-uncached load-failed":
        return this.to("done", this.willDo(val.atHand) ? "answer" : "fail");
      case "loading-uncached loaded":
      case "filling filled":
      case "filling fill-rejected":
      case "filling store-unavailable":
      case "refresh-filling filled":
      case "refresh-filling fill-rejected":
      case "refresh-filling store-unavailable":
        return this.to("done", "answer");

      // A refresh in the background does not wait: the holder of the lease loads the value already.
      case "refreshing found":
      case "refreshing absent":
        return this.to("refresh-claiming", "claim", this.settings.leaseMs);
      case "refresh-claiming lease-granted":
        return this.to("refresh-loading", "load");
      case "refreshing store-unavailable":
      case "refresh-claiming store-unavailable":
      case "refresh-claiming lease-held":
      case "refresh-claiming found":
        return this.to("done", "answer");
      case "refresh-loading loaded":
        return this.fill("refresh-filling", val);
      case "refresh-loading load-failed":
        return this.to("done", "fail");
      default:
        return undefined;
    }
  }

  /** The end of the flight, if the value that was seen may be answered. */
  answer(seen) {
    const fresh = seen.freshMs > 0;
    const due = seen.refreshMs === 0 && this.settings.earlyRefresh > 0;
    if (fresh && !due) return this.to("done", "answer");
    if (!fresh && !isStaleWithin(seen, this.terms.staleWhileRevalidateMs)) return undefined;
    // The refresh is a new flight: it has had no useless claim and has not waited.
    return this.with({ phase: 0, sinceMs: 0 }).to("refreshing", "answer-and-refresh");
  }

  claim() {
    return this.to("claiming", "claim", this.settings.leaseMs);
  }

  claimAgain() {
    const phase = this.memo.phase + USELESS_CLAIM;
    if (phase >= USELESS_CLAIMS_MAX * USELESS_CLAIM) {
      return this.to("loading-uncached", "load-uncached");
    }
    return this.with({ phase }).claim();
  }

  /** As long as the lease may last: while it is renewed, its holder's load is alive. */
  wait(heldMs) {
    const { elapsedMs, leftMs } = this.moment;
    // A wait that began at 0 is written as 1, since 0 says that there was none.
    const sinceMs = this.memo.sinceMs || Math.max(elapsedMs, 1);
    const waitedMs = Math.max(elapsedMs - sinceMs, 0);
    const patienceMs = (this.settings.patienceMs || Infinity) - waitedMs;
    const waitMs = Math.min(Math.max(heldMs, 1), leftMs, patienceMs);
    if (waitMs <= 0) return this.to("loading-uncached", "load-uncached");
    return this.with({ sinceMs }).to("waiting", "wait", waitMs);
  }

  fill(phase, load) {
    return this.to(phase, "fill", lifetime(this.terms, this.settings, load, this.moment.entropy));
  }

  /** A load failed: a value at hand is answered if it is fresh, or stale within the terms. */
  willDo(atHand) {
    return atHand && (atHand.freshMs > 0 || isStaleWithin(atHand, this.terms.staleIfErrorMs));
  }

  with(changes) {
    return new Flight(this.terms, this.settings, { ...this.memo, ...changes }, this.moment);
  }

  to(phase, tag, val) {
    const useless = this.memo.phase - (this.memo.phase % USELESS_CLAIM);
    const memo = { ...this.memo, phase: useless + PHASES.indexOf(phase) };
    return { memo, action: val === undefined ? { tag } : { tag, val } };
  }
}

/** That a row did not exist a while ago answers no read. */
function isStaleWithin(seen, windowMs) {
  return seen.freshMs === 0 && seen.pastMs < windowMs && !seen.negative;
}
