/**
 * The cookie of `sticky:NAME`: what it says, and who can read it.
 *
 * It holds a keyed hash of the backend's URL (HMAC-SHA-256, 128 bits). Without
 * the key nobody can make the one of a backend of their choice, and nobody can
 * find out by trying whether an address behind it is the one they suspect, as
 * they could with a plain hash of it. A cookie that is none of ours, or that of
 * a backend which has gone, is as good as none.
 *
 * The key is random for each process unless one is given. It is not derived from
 * the pool, though replicas would then agree by themselves: whoever guesses the
 * pool (and private addresses are soon guessed) could forge every cookie, and
 * each backend that comes or goes would end every session. So replicas, and the
 * workers of one program, have to be given one key, or a client that comes to
 * another of them is bound anew.
 *
 * @module
 */

import { createHmac, randomBytes } from "node:crypto";
import type { Backend, Pool } from "../balancer.ts";
import type { Read } from "./fields.ts";
import { cookieOf } from "./keys.ts";

/** Gives out cookies and reads them. */
export class Sticky {
  readonly #name: string;
  readonly #secret: string | Uint8Array;
  readonly #tokens = new WeakMap<Backend, string>();
  readonly #ids = new Map<string, string>();

  /** Makes the cookies `name` for a pool; `secret` is what replicas share. */
  constructor(pool: Pool, name: string, secret?: string) {
    this.#name = name;
    this.#secret = secret ?? randomBytes(32);
    for (const backend of pool) this.#ids.set(this.#token(backend), backend.id);
    pool.subscribe(({ type, backend }) => {
      if (backend === undefined) return;
      if (type === "added") this.#ids.set(this.#token(backend), backend.id);
      if (type === "removed") this.#ids.delete(this.#token(backend));
    });
  }

  /** The id of the backend that a request's cookie is for: the policy's key. */
  keyOf(headers: Read): string | undefined {
    const token = cookieOf(headers, this.#name);
    return token === undefined ? undefined : this.#ids.get(token);
  }

  /**
   * The `Set-Cookie` of an answer, unless the client has that cookie: `key` is
   * what {@linkcode keyOf} said. For the browser's session, out of reach of
   * scripts, and not sent along with what other sites post here.
   *
   * An answer that shared caches may store gets none: a cache would give the one
   * cookie to all of its clients, and bind them to one backend. (HAProxy's
   * `nocache` makes such an answer `private` instead, which would undo what its
   * backend says.) The client is bound by the next answer that is its own.
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
      token = createHmac("sha256", this.#secret).update(backend.url)
        .digest().subarray(0, 16).toString("base64url");
      this.#tokens.set(backend, token);
    }
    return token;
  }
}

/**
 * Whether an answer says that a shared cache may store it (RFC 9111 §3). One that
 * says nothing is stored by no cache together with a `Set-Cookie`.
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
