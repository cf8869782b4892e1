/**
 * What Bun's server gives of a request, and what it wants of an answer. Measured
 * on 1.4.5. Bun's types are not Deno's, so what is used of them is written here.
 *
 * @module
 */

import type { Chunk } from "../../proxy/body.ts";
import type { Fields } from "../../proxy/fields.ts";
import type { Server } from "../../proxy/server.ts";
import type { Acceptance, ClientEvents } from "../../proxy/socket.ts";
import { lingering } from "./linger.ts";
import { acceptBun } from "./websocket.ts";

/** A global of Bun, and none of the Web. */
declare const setImmediate: (callback: () => void) => unknown;

/** What is used of Bun's server, the second argument of a handler. */
export interface BunServerLike {
  /** Address of a request's peer; nothing once the request has ended. */
  requestIP(request: Request): { address: string } | null;
  /** The port; none for a server on a Unix domain socket. */
  readonly port?: number | undefined;
  /** `http` or `https`. */
  readonly protocol?: string | null;
  /** Idle limit of one request's connection, in seconds. */
  timeout(request: Request, seconds: number): void;
}

/** What is used of Bun itself. */
interface BunLike {
  /** The value of a promise that is fulfilled, or the promise. */
  peek<T>(promise: Promise<T>): T | Promise<T>;
}

/** Bun's server. */
export class BunServer implements Server {
  // A complete body goes out with its length; a stream would lose it.
  readonly wholeUpTo = 256 * 1024;

  peerOf(request: Request, connection: unknown): string | null | undefined {
    const server = connection as Partial<BunServerLike>;
    if (server.requestIP === undefined) return undefined;
    const peer = server.requestIP(request);
    if (peer !== null) return peer.address;
    // Gone, unless there never was one.
    return server.port === undefined ? undefined : null;
  }

  schemeOf(connection: unknown): string | undefined {
    return (connection as Partial<BunServerLike> | undefined)?.protocol ??
      undefined;
  }

  clientGone(request: Request): boolean {
    // An upload that the client cut makes `fetch` fail like a lost backend.
    return request.signal.aborted;
  }

  async whole(request: Request, length: number): Promise<Chunk | undefined> {
    // The handler is called before the bytes behind the head are looked at.
    await new Promise<void>((resolve) => void setImmediate(resolve));
    // A body that is read through its stream costs 1.7 times a request, and one
    // that is taken whole says nothing of its pieces. So a copy is taken whole:
    // it is there at once, or the pieces are waited for, one after the other.
    const taken = request.clone().bytes();
    const bytes = (globalThis as unknown as { Bun: BunLike }).Bun.peek(taken);
    if (bytes instanceof Uint8Array) {
      return bytes.byteLength === length ? bytes as Chunk : undefined;
    }
    taken.catch(() => {});
    return undefined;
  }

  respond(
    status: number,
    fields: Fields,
    body: Chunk | ReadableStream<Chunk> | null,
    head: boolean,
  ): Response {
    const has = (wanted: string) => fields.some(([name]) => name === wanted);
    if (head && !has("content-length")) {
      // Without either field Bun would say a length of 0.
      fields.push(["transfer-encoding", "chunked"]);
    }
    const given = body instanceof Uint8Array &&
        (body.length > CORKED || !has("content-type"))
      ? filled(body)
      : body;
    return new Response(given, { status, headers: fields });
  }

  closingResponse(
    request: Request,
    connection: unknown,
    response: Response,
  ): Response {
    return (connection as Partial<BunServerLike> | undefined)?.requestIP ===
        undefined
      ? response
      : lingering(request, response);
  }

  release(request: Request, connection: unknown): void {
    (connection as Partial<BunServerLike> | undefined)?.timeout?.(request, 1);
  }

  keepOpen(request: Request, connection: unknown): void {
    (connection as Partial<BunServerLike> | undefined)?.timeout?.(request, 0);
  }

  accept(
    request: Request,
    connection: unknown,
    acceptance: Acceptance,
    events: ClientEvents,
  ): Response {
    return acceptBun(request, connection, acceptance, events);
  }
}

/** Bytes of a body that surely leave in one write with their head. */
const CORKED = 8 * 1024;

/**
 * Bytes as a stream that is over at once: Bun sends it with its length, if its
 * high-water mark lets it be buffered whole, and does not call it
 * `application/octet-stream` where nobody has named a type.
 *
 * And it leaves in one write with its head. Given as bytes, a body that is too
 * large for Bun's buffer of 16 KB has its head sent in some thirty writes before
 * it, where the answer is not there at once: 115 and not 20 µs for 64 KB.
 */
function filled(bytes: Chunk): ReadableStream<Chunk> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  }, { highWaterMark: bytes.byteLength + 1 });
}
