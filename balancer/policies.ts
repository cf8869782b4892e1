/**
 * The policies: each picks one backend of an array.
 *
 * No policy knows about health, draining, limits or earlier attempts: the
 * predicate holds all reasons to skip a backend. A policy keeps little state,
 * in its closure or in the backend's fields; the array may differ at each call.
 *
 * @module
 */

import { type Backend, hash, LATENCY_DECAY_MS } from "./backend.ts";

/** Whether a backend may be picked. Pure; called once or twice per pick. */
export type Accepts = (backend: Backend) => boolean;

/**
 * Picks one of the backends for which `accepts` is true, or none if there is no
 * such backend. `accepts` holds every reason to skip a backend: health,
 * ejection, draining, its limit, an earlier attempt. A policy must not pick a
 * backend that is not accepted.
 *
 * `key` is what hash policies hash. A custom policy gets the result of the
 * option `key`. The policy is called up to three times per request: for the
 * primary backends; if there is none, for the backups; then for ejected ones.
 */
export type Policy = (
  backends: readonly Backend[],
  accepts: (backend: Backend) => boolean,
  key?: string,
) => Backend | undefined;

/** A policy and the figures that it reads. */
export interface NotedPolicy extends Policy {
  /**
   * Which figures of a backend it reads: the exact requests in flight, or those
   * and latencies. Most policies read neither, which saves the bookkeeping.
   */
  readonly needs?: "in flight" | "latency";
}

/** Sources of randomness and time. */
export interface PolicyOptions {
  /** Uniform in [0, 1). @default {Math.random} */
  random?: () => number;
  /** Milliseconds on the clock of `Backend.observed`. */
  now?: () => number;
}

/** Relative difference below which two amounts count as equal. */
const ROUNDING = 1e-9;

/**
 * Smooth weighted round robin, as in nginx: each accepted backend earns credit
 * in proportion to its weight; the one with most credit is picked and pays one
 * request. With weights 5, 1, 1 this gives a a b a c a a and not five in a row.
 *
 * A backend that is skipped earns nothing, so its share goes to all others by
 * weight, and not to its neighbour alone. nginx counts credit in weights, this
 * counts it in requests: when the sum of weights changes in the middle of a
 * round, the credit stays right, and no backend is skipped or picked twice.
 *
 * Allocates nothing. Linear, since it reads every weight.
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
      // Ties go to the first; thirds do not add up to exactly one.
      if (best === undefined || backend.turn > best.turn + ROUNDING) {
        best = backend;
      }
    }
    best!.turn -= 1;
    return best;
  };
}

/**
 * Least connections: fewest requests in flight per weight. Ties go by smooth
 * round robin, or an idle pool would send everything to its first. Linear.
 */
export function leastConn(): NotedPolicy {
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
    // `x / y * y` may differ from `x` in the last bit.
    least += least * ROUNDING;
    wanted = accepts;
    return next(backends, isLeast);
  });
}

/** Draws backends at random, in proportion to their weights. */
class WeightedDraw {
  /** The largest share seen; the scale for rejection sampling. */
  heaviest = 0;
  readonly #random: () => number;
  #measured: readonly Backend[] | undefined;

  constructor(random: () => number) {
    this.#random = random;
  }

  /**
   * Draws an accepted backend other than `except`.
   *
   * Rejection sampling: draws a random index and keeps it with probability
   * share / heaviest. This is exact, needs no table to update when weights
   * change, and takes few steps at any pool size. If many backends are light or
   * not accepted, it falls back to an exact linear draw.
   */
  draw(
    backends: readonly Backend[],
    accepts: Accepts,
    except?: Backend,
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
      // A weight may have been raised since it was measured.
      if (share > this.heaviest) this.heaviest = share;
      if (
        random() * this.heaviest < share && backend !== except &&
        accepts(backend)
      ) return backend;
    }
    let total = 0;
    for (let i = 0; i < backends.length; i++) {
      const backend = backends[i]!;
      if (backend !== except && accepts(backend)) total += backend.share;
    }
    let rest = random() * total;
    let last: Backend | undefined;
    for (let i = 0; i < backends.length; i++) {
      const backend = backends[i]!;
      if (backend === except || !accepts(backend)) continue;
      last = backend;
      rest -= backend.share;
      if (rest < 0) break;
    }
    return last;
  }
}

/** Random draws before falling back to the linear draw. */
const DRAWS = 12;

/** Random, in proportion to weight. */
export function random({ random = Math.random }: PolicyOptions = {}): Policy {
  const draws = new WeightedDraw(random);
  return (backends, accepts) => draws.draw(backends, accepts);
}

/**
 * Power of two choices: of two drawn by weight, the one with fewer requests in
 * flight per weight. Nearly as even as least connections, at a cost that does
 * not grow with the pool (Mitzenmacher 2001), and many independent proxies do
 * not all choose the same idle backend.
 */
export function twoChoices(
  { random = Math.random }: PolicyOptions = {},
): NotedPolicy {
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

/** How much one pick moves the usual latency. */
const USUAL_STEP = 1 / 50;

/**
 * Peak EWMA with two choices: of two drawn by weight, the one that should
 * answer sooner, by its latency (`Backend.observed`) times its requests in
 * flight (Finagle's Peak EWMA, Linkerd's default).
 *
 * A backend without a known latency is assumed to have the usual one, not zero,
 * so a new backend is neither flooded nor starved. An old latency fades towards
 * the usual one too, so that a backend that was slow is tried again.
 */
export function ewma(
  { random = Math.random, now = () => performance.now() }: PolicyOptions = {},
): NotedPolicy {
  const draws = new WeightedDraw(random);
  let usual = NaN;
  const cost = (backend: Backend, at: number) => {
    const { latencyMs, share } = backend;
    let expected = usual;
    // False for `NaN`, that is for an unknown latency.
    if (latencyMs >= 0) {
      if (!(usual >= 0)) usual = latencyMs;
      const fresh = Math.exp((backend.observedAt - at) / LATENCY_DECAY_MS);
      expected = usual + (latencyMs - usual) * fresh;
      // Weighted by freshness: otherwise one slow backend, avoided since, would
      // make slowness usual and never be tried again.
      usual += (expected - usual) * USUAL_STEP;
    }
    // Above zero, or a clock with coarse steps would hide the queue.
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
 * Weighted rendezvous hashing: the key and each backend's URL give a score, and
 * the best score wins (Thaler and Ravishankar 1998; the logarithm makes the
 * probabilities follow the weights, Schindelhauer and Schomaker 2005).
 *
 * When a backend leaves, only its keys move, spread over all others. When one
 * joins or its weight grows, only the keys that it gains move. All replicas
 * agree, since the result depends on the key and the URLs alone. Without a key,
 * round robin decides. Linear.
 *
 * The hash has no secret, since replicas would have to share it: a client that
 * chooses its keys freely can choose many that fall to one backend.
 */
export function rendezvous(): Policy {
  const unkeyed = roundRobin();
  return (backends, accepts, key) => {
    if (key === undefined) return unkeyed(backends, accepts);
    const keyed = mixed(hash(key));
    let best: Backend | undefined;
    let least = Infinity;
    let bestScore = 0;
    let bestShare = 0;
    for (let i = 0; i < backends.length; i++) {
      const backend = backends[i]!;
      if (!accepts(backend)) continue;
      const score = mixed(keyed ^ backend.seed);
      const { share } = backend;
      // At equal weight, compare without the logarithm.
      if (share === bestShare && score <= bestScore) continue;
      // Uniform in (0, 1), exclusive: gives an exponential variate of this
      // rate.
      const wait = -Math.log((score + 0.5) / 2 ** 32) / share;
      if (wait >= least) continue;
      best = backend;
      least = wait;
      bestScore = score;
      bestShare = share;
    }
    return best;
  };
}

/** Mixes 32 bits: each input bit flips half of the output (MurmurHash3). */
function mixed(bits: number): number {
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

/**
 * Sticky: the backend whose id is the key while it is accepted, otherwise round
 * robin. The key never comes from a client directly: `proxy/sticky.ts` checks
 * the cookie first.
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

/** Records which figures a policy reads. */
function needing(
  needs: NonNullable<NotedPolicy["needs"]>,
  pick: Policy,
): NotedPolicy {
  return Object.assign(pick, { needs });
}

/** The policies by name of the setting; some take a field name in addition. */
const POLICIES: Readonly<
  Record<string, (options: PolicyOptions) => NotedPolicy>
> = {
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
 * The policy for a value of the setting, such as `p2c` or `header:X-Tenant`.
 *
 * @throws {RangeError} If there is no such policy.
 */
export function policyOf(
  name: string,
  options: PolicyOptions = {},
): NotedPolicy {
  const [kind = "", field] = name.split(/:(.*)/s);
  const named = kind === "header" || kind === "cookie" || kind === "sticky";
  if (!Object.hasOwn(POLICIES, kind) || named !== (field !== undefined)) {
    throw new RangeError(`Cannot pick by "${name}": there is no such policy`);
  }
  return POLICIES[kind]!(options);
}

/**
 * Wraps a custom policy, which may throw or pick a backend that is not
 * accepted: `failed` gets the error, and round robin decides. All figures are
 * kept, since the policy may read any of them.
 */
export function ownPolicy(
  policy: Policy,
  failed: (error: unknown) => void,
): NotedPolicy {
  const instead = roundRobin();
  return needing("latency", (backends, accepts, key) => {
    try {
      const picked: unknown = policy(backends, accepts, key);
      if (picked === undefined) return undefined;
      const backend = backends.find((backend) => backend === picked);
      if (backend !== undefined && accepts(backend)) return backend;
      if (picked instanceof Promise) picked.catch(() => {});
      failed(new TypeError("it picked no backend that it may pick"));
    } catch (error) {
      failed(error);
    }
    return instead(backends, accepts);
  });
}
