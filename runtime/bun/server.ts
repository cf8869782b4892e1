/**
 * The interface to Bun's server. Measured on 1.4.5. Deno has no types for Bun,
 * so the parts that are used are declared here.
 *
 * @module
 */

import type { Chunk } from "../../proxy/body.ts";
import { type Fields, Lines, type Read } from "../../proxy/fields.ts";
import type { Server } from "../../proxy/server.ts";
import type { Acceptance, ClientEvents } from "../../proxy/socket.ts";
import { lingering } from "./linger.ts";
import { acceptBun } from "./websocket.ts";

/** The part of Bun's server that is used, the second argument of a handler. */
export interface BunServerLike {
  /** Address of a request's peer; `null` once the request has ended. */
  requestIP(request: Request): { address: string } | null;
  /** The port; `undefined` for a server on a Unix domain socket. */
  readonly port?: number | undefined;
  /** `http` or `https`. */
  readonly protocol?: string | null;
  /** Idle limit of one request's connection, in seconds. */
  timeout(request: Request, seconds: number): void;
}

/** What is used of Bun's globals. */
interface BunGlobals {
  Bun: {
    /** The value of a promise that is fulfilled, or the promise. */
    peek<T>(promise: Promise<T>): T | Promise<T>;
  };
  /** Calls back in the next turn of the event loop. */
  setImmediate(callback: () => void): void;
}

/** Bun's server. */
export class BunServer implements Server {
  // A complete body is sent with its length; a stream would lose it.
  readonly wholeUpTo = 256 * 1024;
  // It refuses all other control characters by itself.
  readonly admitsDelete = true;

  peerOf(request: Request, connection: unknown): string | null | undefined {
    const server = connection as Partial<BunServerLike>;
    if (server.requestIP === undefined) return undefined;
    const peer = server.requestIP(request);
    if (peer !== null) return peer.address;
    // The client has disconnected, unless there was no address at all.
    return server.port === undefined ? undefined : null;
  }

  read({ headers }: Request): Read {
    // One pass: each call of `get` costs as much as a field in it.
    const lines: Fields = [];
    headers.forEach((value, name) => lines.push([name, value]));
    return new Lines(lines);
  }

  schemeOf(connection: unknown): string | undefined {
    return (connection as Partial<BunServerLike> | undefined)?.protocol ??
      undefined;
  }

  clientGone(request: Request): boolean {
    // When a client aborts its upload, `fetch` fails as if the backend had.
    return request.signal.aborted;
  }

  whole(request: Request, length: number): Promise<Chunk | undefined> {
    if (request.bodyUsed) throw new TypeError("The body was read before");
    return arrived(request, length);
  }

  respond(
    status: number,
    fields: Fields,
    body: Chunk | ReadableStream<Chunk> | null,
    head: boolean,
  ): Response {
    const has = (wanted: string) => fields.some(([name]) => name === wanted);
    if (head && !has("content-length")) {
      // Without either field Bun would set a length of 0.
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

/**
 * The body, if all of it has arrived by the next turn: Bun calls a handler
 * before it reads the bytes after the head.
 *
 * Reading a body through its stream costs 1.7 times a request, and reading it
 * as a whole does not report its chunks. So a clone is read as a whole: its
 * bytes are there at once, or the chunks are awaited, one after the other.
 */
async function arrived(
  request: Request,
  length: number,
): Promise<Chunk | undefined> {
  const { Bun, setImmediate } = globalThis as unknown as BunGlobals;
  await new Promise<void>((resolve) => setImmediate(resolve));
  const taken = request.clone().bytes();
  const bytes = Bun.peek(taken);
  if (bytes instanceof Uint8Array) {
    return bytes.byteLength === length ? bytes as Chunk : undefined;
  }
  taken.catch(() => {});
  return undefined;
}

/** Maximum size of a body that is always sent in one write with its head. */
const CORKED = 8 * 1024;

/**
 * A stream that is complete at once. Bun sends it with its length, if its
 * high-water mark allows to buffer it completely, and does not set
 * `application/octet-stream` if there is no type.
 *
 * It is sent in one write with its head. A body passed as bytes that exceeds
 * Bun's buffer of 16 KB has its head sent in about thirty writes, if the
 * response is asynchronous: 115 instead of 20 µs for 64 KB.
 */
function filled(bytes: Chunk): ReadableStream<Chunk> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  }, { highWaterMark: bytes.byteLength + 1 });
}
