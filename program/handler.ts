/**
 * A handler of a user's own behind `serve()`: what it is told of a request's
 * connection, and what its answers need while the server drains.
 *
 * @module
 */

import type { Connection, ServeOptions } from "../config/options.ts";
import { peerOf } from "../proxy/addresses.ts";
import type { Served } from "../proxy/guard.ts";
import { server } from "../runtime/runtime.ts";
import type { Handler } from "../runtime/listener.ts";

/** A connection as a handler gets it, and hands it on to `proxy.fetch`. */
export class HandedOn implements Connection {
  readonly clientAddress: string | null | undefined;
  /** How requests come. */
  readonly served: Served;
  readonly #request: Request;
  readonly #native: unknown;

  constructor(request: Request, native: unknown, served: Served) {
    // Now, while it is known: Bun forgets it with the request.
    this.clientAddress = peerOf(server, request, native);
    this.served = served;
    this.#request = request;
    this.#native = native;
  }

  /**
   * What the runtime has handed over with the request; for another request that
   * the handler has made of it, which no server knows, this.
   */
  of(request: Request): unknown {
    return request === this.#request ? this.#native : this;
  }

  /** Bun's idle limit of the connection, also for a request made of its own. */
  timeout(_request: Request, seconds: number): void {
    (this.#native as Partial<BunTimeout> | undefined)
      ?.timeout?.(this.#request, seconds);
  }
}

/** What is used of Bun's server. */
interface BunTimeout {
  timeout(request: Request, seconds: number): void;
}

/** What stands around a user's handler. */
export class OwnHandler {
  /** Requests that have come in so far. */
  started = 0;
  readonly #handler: NonNullable<ServeOptions["fetch"]>;
  readonly #served: Served;
  readonly #draining: () => boolean;

  constructor(
    handler: NonNullable<ServeOptions["fetch"]>,
    served: Served,
    draining: () => boolean,
  ) {
    this.#handler = handler;
    this.#served = served;
    this.#draining = draining;
  }

  /** Answers a request. May throw and be rejected. May be called unbound. */
  readonly handle: Handler = (request, native) => {
    this.started++;
    const connection = new HandedOn(request, native, this.#served);
    const answered = this.#handler(request, connection);
    return answered instanceof Response
      ? this.#checked(answered)
      : Promise.resolve(answered).then((answer) => this.#checked(answer));
  };

  /** An answer, which ends its connection while the server drains. */
  #checked(answer: unknown): Response {
    if (!(answer instanceof Response)) {
      throw new TypeError("the handler gave no Response");
    }
    if (!this.#draining() || answer.status === 101) return answer;
    try {
      answer.headers.set("connection", "close");
      return answer;
    } catch {
      // The fields of what came out of `fetch` cannot be changed.
      const headers = new Headers(answer.headers);
      headers.set("connection", "close");
      const { status, statusText, body } = answer;
      return new Response(body, { status, statusText, headers });
    }
  }
}
