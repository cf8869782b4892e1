/**
 * Requests and responses on a platform that only calls a handler.
 *
 * @module
 */

import type { Chunk } from "../../proxy/body.ts";
import type { Fields } from "../../proxy/fields.ts";
import type { Server } from "../../proxy/server.ts";
import { sized } from "./sized.ts";

/** The server of such a platform. */
export class WebServer implements Server {
  readonly wholeUpTo = 64 * 1024;

  peerOf(): undefined {
    // Each platform has its own field for the address, which anyone can send to
    // another one: the caller of `fetch` passes `clientAddress`.
    return undefined;
  }

  respond(
    status: number,
    fields: Fields,
    body: Chunk | ReadableStream<Chunk> | null,
    head: boolean,
  ): Response {
    // RFC 9110 §6.4.1: these never have a body.
    if (head || status === 204 || status === 205 || status === 304) {
      return new Response(null, { status, headers: fields });
    }
    const length = fields.find(([name]) => name === "content-length")?.[1];
    const out = body instanceof ReadableStream && length !== undefined
      ? sized(body, Number(length))
      : body;
    return new Response(out, { status, headers: fields });
  }

  accept(): never {
    throw new Error("this platform has no WebSockets for a handler");
  }
}
