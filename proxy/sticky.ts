/**
 * The cookie of `sticky:NAME`.
 *
 * It contains a keyed hash of the backend's URL (HMAC-SHA-256, 128 bits).
 * Without the key, a client cannot make the cookie of a backend of its choice,
 * and cannot test guesses of a backend's address, as it could with a plain
 * hash. An unknown cookie, or one of a removed backend, counts as absent.
 *
 * The key is random per process unless one is given. It is not derived from the
 * pool, although replicas would then agree: private addresses are easily
 * guessed, and then every cookie could be forged; and each change of the pool
 * would end every session. So replicas need a common key, and the workers of a
 * program get one; otherwise a client that reaches another one is bound to a
 * new backend.
 *
 * @module
 */

import type { Backend, Pool } from "../balancer.ts";
import { builtin } from "../base/builtin.ts";
import type { Read } from "./fields.ts";
import { cookieOf } from "./keys.ts";

/** Makes and reads the cookies. */
export class Sticky {
  readonly #name: string;
  readonly #secret: string | Uint8Array;
  readonly #tokens = new WeakMap<Backend, string>();
  readonly #ids = new Map<string, string>();

  /** Makes cookies `name` for a pool; replicas share `secret`. */
  constructor(pool: Pool, name: string, secret?: string) {
    this.#name = name;
    this.#secret = secret ?? crypto.getRandomValues(new Uint8Array(32));
    for (const backend of pool) this.#ids.set(this.#token(backend), backend.id);
    pool.subscribe(({ type, backend }) => {
      if (backend === undefined) return;
      if (type === "added") this.#ids.set(this.#token(backend), backend.id);
      if (type === "removed") this.#ids.delete(this.#token(backend));
    });
  }

  /** The id of the backend in a request's cookie: the key of the policy. */
  keyOf(headers: Read): string | undefined {
    const token = cookieOf(headers, this.#name);
    return token === undefined ? undefined : this.#ids.get(token);
  }

  /**
   * The `Set-Cookie` of a response, unless the client has that cookie: `key` is
   * the result of {@linkcode keyOf}. A session cookie, hidden from scripts, and
   * not sent with cross-site POSTs.
   *
   * A response that shared caches may store gets none: a cache would send the
   * same cookie to all of its clients and bind them to one backend. (HAProxy's
   * `nocache` makes such a response `private`, which would override the
   * backend.) The client is bound by its next response that is not shared.
   */
  cookie(
    backend: Backend,
    key: string | undefined,
    secure: boolean,
    answer: { readonly headers: Read },
  ): string | undefined {
    if (key === backend.id || isShared(answer.headers)) return undefined;
    return `${this.#name}=${this.#token(backend)}; Path=/; HttpOnly; ` +
      `SameSite=Lax${secure ? "; Secure" : ""}`;
  }

  #token(backend: Backend): string {
    let token = this.#tokens.get(backend);
    if (token === undefined) {
      token = builtin("node:crypto").createHmac("sha256", this.#secret)
        .update(backend.url).digest().subarray(0, 16).toString("base64url");
      this.#tokens.set(backend, token);
    }
    return token;
  }
}

/**
 * Whether a response allows shared caches to store it (RFC 9111 §3). One
 * without `Cache-Control` is not stored together with a `Set-Cookie`.
 */
function isShared(headers: Read): boolean {
  const control = headers.get("cache-control")?.toLowerCase();
  if (control === undefined) return false;
  let shared = false;
  for (const directive of control.split(",")) {
    const [, name, seconds = ""] =
      /^\s*([a-z-]+)(?:\s*=\s*"?(\d*))?/.exec(directive) ?? [];
    if (name === "private" || name === "no-store" || name === "no-cache") {
      return false;
    }
    if (name === "public") shared = true;
    if ((name === "max-age" || name === "s-maxage") && Number(seconds) > 0) {
      shared = true;
    }
  }
  return shared;
}
