/**
 * A user's own handler in `serve()`: the connection it is passed, and what its
 * responses need while the server drains.
 *
 * @module
 */

import type { Connection, ServeOptions } from "../config/options.ts";
import { peerOf } from "../proxy/addresses.ts";
import type { Served } from "../proxy/guard.ts";
import { server } from "../runtime/runtime.ts";
import type { Handler } from "../runtime/listener.ts";

/** A connection as passed to a handler, and by it to `proxy.fetch`. */
export class PassedConnection implements Connection {
  readonly clientAddress: string | null | undefined;
  /** The server that the request came through. */
  readonly served: Served;
  readonly #request: Request;
  readonly #native: unknown;

  constructor(request: Request, native: unknown, served: Served) {
    // Read at once: Bun forgets the address when the request ends.
    this.clientAddress = peerOf(server, request, native);
    this.served = served;
    this.#request = request;
    this.#native = native;
  }

  /**
   * The runtime's connection for the original request. For a request that the
   * handler derived from it, which no server knows, this object.
   */
  of(request: Request): unknown {
    return request === this.#request ? this.#native : this;
  }

  /** Sets Bun's idle timeout of the connection, also for a derived request. */
  timeout(_request: Request, seconds: number): void {
    (this.#native as Partial<BunTimeout> | undefined)
      ?.timeout?.(this.#request, seconds);
  }
}

/** The part of Bun's server that is used. */
interface BunTimeout {
  timeout(request: Request, seconds: number): void;
}

/** Wraps a user's handler. */
export class OwnHandler {
  /** Number of requests received. */
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

  /** Answers a request. May throw or reject. Does not depend on `this`. */
  readonly handle: Handler = (request, native) => {
    this.started++;
    const connection = new PassedConnection(request, native, this.#served);
    const answered = this.#handler(request, connection);
    return answered instanceof Response
      ? this.#checked(answered)
      : Promise.resolve(answered).then((answer) => this.#checked(answer));
  };

  /** Checks a response; while draining, makes it close its connection. */
  #checked(answer: unknown): Response {
    if (!(answer instanceof Response)) {
      throw new TypeError("the handler gave no Response");
    }
    if (!this.#draining() || answer.status === 101) return answer;
    try {
      answer.headers.set("connection", "close");
      return answer;
    } catch {
      // The header fields of a response from `fetch` are immutable.
      const headers = new Headers(answer.headers);
      headers.set("connection", "close");
      const { status, statusText, body } = answer;
      return new Response(body, { status, statusText, headers });
    }
  }
}
