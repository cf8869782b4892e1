/**
 * The policies: each picks one backend of an array.
 *
 * None knows of health, draining, limits or what was tried: all that is in the
 * one predicate that it is handed, so every policy honours every reason to pass
 * a backend over. A policy's own memory is small and lies in its closure or in
 * the backend's fields; an array may be another one at each call.
 *
 * @module
 */

import { type Backend, hash, LATENCY_DECAY_MS } from "./backend.ts";

/** Says whether a backend may be picked. Asked once or twice a pick; pure. */
export type Accepts = (backend: Backend) => boolean;

/** Picks one backend. */
export interface Policy {
  /**
   * Picks one of those that `accepts` lets through, or none when it lets none
   * through. `key` is what the hashing policies hash; others ignore it.
   */
  (
    backends: readonly Backend[],
    accepts: Accepts,
    key?: string,
  ): Backend | undefined;
  /**
   * What has to be kept of a backend for it: requests in flight, exactly, or
   * those and latencies too. Most need neither, which spares the work.
   */
  readonly needs?: "in flight" | "latency";
}

/** What chance and time are taken from. */
export interface PolicyOptions {
  /** Evenly from 0 up to 1. @default {Math.random} */
  random?: () => number;
  /** Milliseconds on the clock that `Backend.observed` is told. */
  now?: () => number;
}

/** Where two amounts differ only by how they were rounded on the way. */
const ROUNDING = 1e-9;

/**
 * Smooth weighted round robin, as nginx has it: what each accepted backend is
 * owed grows by its part of the weights, whoever is owed most is picked and pays
 * one. With weights 5, 1, 1 that gives a a b a c a a and not five in a row.
 *
 * A backend that is passed over takes no part in the round, so its share falls
 * to all others by weight and never to its neighbour alone. nginx counts in
 * weights where this counts in requests; when the sum of weights changes in the
 * middle of a round, a debt in requests stays right, and so nobody is skipped
 * or served twice when one of them leaves.
 *
 * Nothing is allocated. Linear, since every weight must be looked at.
 */
export function roundRobin(): Policy {
  return (backends, accepts) => {
    let total = 0;
    for (let i = 0; i < backends.length; i++) {
      const backend = backends[i]!;
      if (accepts(backend)) total += backend.share;
    }
    if (total === 0) return undefined;
    let best: Backend | undefined;
    for (let i = 0; i < backends.length; i++) {
      const backend = backends[i]!;
      if (!accepts(backend)) continue;
      backend.turn += backend.share / total;
      // Between equals the first, though thirds do not add up to one exactly.
      if (best === undefined || backend.turn > best.turn + ROUNDING) {
        best = backend;
      }
    }
    best!.turn -= 1;
    return best;
  };
}

/**
 * Least connections: fewest requests in flight for its weight; among equals,
 * smooth round robin, or an idle pool would send all to its first. Linear.
 */
export function leastConn(): Policy {
  const next = roundRobin();
  let least = 0;
  let wanted: Accepts;
  const isLeast: Accepts = (backend) =>
    backend.inFlight <= least * backend.share && wanted(backend);
  return needing("in flight", (backends, accepts) => {
    least = Infinity;
    for (let i = 0; i < backends.length; i++) {
      const backend = backends[i]!;
      const load = backend.inFlight / backend.share;
      if (load < least && accepts(backend)) least = load;
    }
    if (least === Infinity) return undefined;
    // Division and its reverse may differ in the last bit.
    least += least * ROUNDING;
    wanted = accepts;
    return next(backends, isLeast);
  });
}

/** Draws backends at random, each as often as its weight says. */
class WeightedDraw {
  /** The heaviest share seen, which all others are held against. */
  heaviest = 0;
  readonly #random: () => number;
  #measured: readonly Backend[] | undefined;

  constructor(random: () => number) {
    this.#random = random;
  }

  /**
   * Draws one that `accepts` lets through and that is not `but`.
   *
   * By rejection: any index, kept with the chance of its share beside the
   * heaviest, else again. That is exact, needs no table that a changed weight
   * would spoil, and takes few steps whatever the size of the pool. When many
   * are light or not accepted it gives up and draws from all, which is exact
   * too, and linear.
   */
  draw(
    backends: readonly Backend[],
    accepts: Accepts,
    but?: Backend,
  ): Backend | undefined {
    const random = this.#random;
    if (backends !== this.#measured) {
      this.#measured = backends;
      this.heaviest = 0;
      for (const { share } of backends) {
        if (share > this.heaviest) this.heaviest = share;
      }
    }
    for (let draws = 0; draws < DRAWS; draws++) {
      const backend = backends[Math.floor(random() * backends.length)];
      if (backend === undefined) return undefined;
      const { share } = backend;
      // A weight that was raised since: the measure mends itself.
      if (share > this.heaviest) this.heaviest = share;
      if (
        random() * this.heaviest < share && backend !== but && accepts(backend)
      ) return backend;
    }
    let total = 0;
    for (let i = 0; i < backends.length; i++) {
      const backend = backends[i]!;
      if (backend !== but && accepts(backend)) total += backend.share;
    }
    let lot = random() * total;
    let last: Backend | undefined;
    for (let i = 0; i < backends.length; i++) {
      const backend = backends[i]!;
      if (backend === but || !accepts(backend)) continue;
      last = backend;
      lot -= backend.share;
      if (lot < 0) break;
    }
    return last;
  }
}

/** Draws before all backends are looked at instead. */
const DRAWS = 12;

/** Random by weight. */
export function random({ random = Math.random }: PolicyOptions = {}): Policy {
  const draws = new WeightedDraw(random);
  return (backends, accepts) => draws.draw(backends, accepts);
}

/**
 * Power of two choices: of two drawn by weight, the one with fewer requests in
 * flight for its weight. Nearly as even as least connections at a cost that does
 * not grow with the pool (Mitzenmacher 2001), and where many proxies choose for
 * themselves they do not all run to the same idle backend.
 */
export function twoChoices(
  { random = Math.random }: PolicyOptions = {},
): Policy {
  const draws = new WeightedDraw(random);
  return needing("in flight", (backends, accepts) => {
    const one = draws.draw(backends, accepts);
    if (one === undefined) return undefined;
    const other = draws.draw(backends, accepts, one);
    return other !== undefined &&
        other.inFlight * one.share < one.inFlight * other.share
      ? other
      : one;
  });
}

/** How much one pick moves what is held for the usual latency. */
const USUAL_STEP = 1 / 50;

/**
 * Peak EWMA with two choices: of two drawn by weight, the one that should answer
 * sooner, by its latency (see `Backend.observed`) times what is before us there
 * (Finagle's Peak EWMA, Linkerd's default).
 *
 * What is unknown is taken for the usual, not for perfect: a newcomer costs what
 * others cost and one more for each request it has, so it is neither flooded nor
 * starved. And what is old fades to the usual too: who was slow is tried again.
 */
export function ewma(
  { random = Math.random, now = () => performance.now() }: PolicyOptions = {},
): Policy {
  const draws = new WeightedDraw(random);
  let usual = NaN;
  const cost = (backend: Backend, at: number) => {
    const { latencyMs, share } = backend;
    let expected = usual;
    // False for what is not a number, which is to say not known.
    if (latencyMs >= 0) {
      if (!(usual >= 0)) usual = latencyMs;
      const fresh = Math.exp((backend.observedAt - at) / LATENCY_DECAY_MS);
      expected = usual + (latencyMs - usual) * fresh;
      // Only what is fresh counts: one that was slow and has been avoided since
      // must not make slowness usual, or it would never be tried again.
      usual += (expected - usual) * USUAL_STEP;
    }
    // Never nothing: a clock that saw no time pass must not hide the queue.
    const ms = expected > 0.01 ? expected : 0.01;
    return ms * (1 + backend.inFlight * draws.heaviest / share);
  };
  return needing("latency", (backends, accepts) => {
    const one = draws.draw(backends, accepts);
    if (one === undefined) return undefined;
    const other = draws.draw(backends, accepts, one);
    if (other === undefined) return one;
    const at = now();
    return cost(other, at) < cost(one, at) ? other : one;
  });
}

/**
 * Weighted rendezvous hashing: each backend gets a lot from the key and its own
 * URL, the best lot wins (Thaler and Ravishankar 1998; the logarithm makes the
 * chances follow the weights, Schindelhauer and Schomaker 2005).
 *
 * When one of n goes, its keys fall to all others and no other key moves; when
 * one comes, or its weight grows, it takes its part and no other key moves. All
 * replicas agree, as it depends on nothing but the key and the URLs. Without a
 * key, round robin decides. Linear.
 *
 * The hash has no secret, which replicas would have to share: whoever may choose
 * keys freely can choose many that fall to one backend.
 */
export function rendezvous(): Policy {
  const unkeyed = roundRobin();
  return (backends, accepts, key) => {
    if (key === undefined) return unkeyed(backends, accepts);
    const keyed = mixed(hash(key));
    let best: Backend | undefined;
    let least = Infinity;
    let bestLot = 0;
    let bestShare = 0;
    for (let i = 0; i < backends.length; i++) {
      const backend = backends[i]!;
      if (!accepts(backend)) continue;
      const lot = mixed(keyed ^ backend.seed);
      const { share } = backend;
      // Of two with one weight the logarithm need not be asked.
      if (share === bestShare && lot <= bestLot) continue;
      // Evenly from 0 to 1, and neither: an exponential variate of this rate.
      const wait = -Math.log((lot + 0.5) / 2 ** 32) / share;
      if (wait >= least) continue;
      best = backend;
      least = wait;
      bestLot = lot;
      bestShare = share;
    }
    return best;
  };
}

/** Spreads 32 bits so that each bit in moves half of those out (MurmurHash3). */
function mixed(bits: number): number {
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

/**
 * Sticky: the backend whose id is the key, as long as it is accepted, and round
 * robin else. What a client says never becomes the key itself: `proxy/sticky.ts`
 * reads its cookie.
 */
export function sticky(): Policy {
  const others = roundRobin();
  return (backends, accepts, key) => {
    if (key !== undefined) {
      for (let i = 0; i < backends.length; i++) {
        const backend = backends[i]!;
        if (backend.id !== key) continue;
        if (accepts(backend)) return backend;
        break;
      }
    }
    return others(backends, accepts);
  };
}

/** Notes what a policy needs. */
function needing(needs: NonNullable<Policy["needs"]>, pick: Policy): Policy {
  return Object.assign(pick, { needs });
}

/** The policies that a setting names; those with a name of a field besides. */
const POLICIES: Readonly<Record<string, (options: PolicyOptions) => Policy>> = {
  round_robin: roundRobin,
  least_conn: leastConn,
  random,
  p2c: twoChoices,
  ewma,
  ip_hash: rendezvous,
  uri_hash: rendezvous,
  header: rendezvous,
  cookie: rendezvous,
  sticky,
};

/**
 * The policy of a setting's name, such as `p2c` or `header:X-Tenant`.
 *
 * @throws {RangeError} If there is none of this name.
 */
export function policyOf(name: string, options: PolicyOptions = {}): Policy {
  const [kind = "", field] = name.split(/:(.*)/s);
  const named = kind === "header" || kind === "cookie" || kind === "sticky";
  if (!Object.hasOwn(POLICIES, kind) || named !== (field !== undefined)) {
    throw new RangeError(`Cannot pick by "${name}": there is no such policy`);
  }
  return POLICIES[kind]!(options);
}
