/**
 * What Deno's server gives of a request, and what it wants of an answer. Measured
 * on 2.9.6.
 *
 * @module
 */

import { type Chunk, type Reading, readingInto } from "../../proxy/body.ts";
import { type Fields, Lines, type Read } from "../../proxy/fields.ts";
import type { Server } from "../../proxy/server.ts";
import type { Acceptance, ClientEvents } from "../../proxy/socket.ts";
import { requestLines, wholeBody } from "./inside.ts";
import { acceptDeno, isPresent } from "./websocket.ts";

/** Bytes that are asked for at least of an upload. */
const LEAST_UPLOAD = 64 * 1024;

/** Deno's server. */
export class DenoServer implements Server {
  // A reset that comes before its signal was asked for is not told later.
  readonly losesResets = true;
  readonly wholeUpTo = 64 * 1024;
  readonly copiesBodies = true;

  pastesUrl(connection: unknown): boolean {
    return (connection as Partial<Deno.ServeHandlerInfo> | null | undefined)
      ?.remoteAddr !== undefined;
  }

  peerOf(_request: Request, connection: unknown): string | undefined {
    // A socket that is gone is said to be connected to `0.0.0.0`; a Unix domain
    // socket has a path and no host.
    const address = (connection as Partial<Deno.ServeHandlerInfo> | undefined)
      ?.remoteAddr;
    return (address as Deno.NetAddr | undefined)?.hostname;
  }

  connectionOf(connection: unknown): string | undefined {
    const address = (connection as Partial<Deno.ServeHandlerInfo> | undefined)
      ?.remoteAddr as Deno.NetAddr | undefined;
    // HTTP/2 is taken on every port, with TLS and without.
    return address?.port === undefined
      ? undefined
      : `${address.hostname} ${address.port}`;
  }

  read(request: Request): Read | undefined {
    const lines = requestLines(request);
    return lines && new Lines(lines);
  }

  whole(request: Request, length: number): Chunk | undefined {
    return wholeBody(request, length);
  }

  reading(stream: ReadableStream<Chunk>, length: number | undefined): Reading {
    // The server takes from a socket at once as much as it was ever asked for on
    // that connection, at first 1 KB. Were just the few bytes of a small upload
    // asked for, the next one would not come whole with its head, and cost 1.3
    // times.
    return readingInto(stream, length, LEAST_UPLOAD);
  }

  respond(
    status: number,
    fields: Fields,
    body: Chunk | ReadableStream<Chunk> | null,
    head: boolean,
  ): Response {
    // Deno sends a 205 without any framing, and the client waits for the rest of
    // it; 204 is what comes nearest to it and ends for certain. The answer to a
    // HEAD ends with its head in any case.
    if (status === 205 && !head) status = 204;
    // RFC 9110 §6.4.1: these never have a body, and `Response` takes none for
    // them, not even a stream that is empty: a HEAD answered 304 was a 500.
    if (status === 204 || status === 205 || status === 304) {
      body = null;
      // RFC 9110 §8.6. Over HTTP/2 Deno sends it, and clients reset the stream.
      if (status === 204) {
        fields = fields.filter(([n]) => n !== "content-length");
      }
    } else if (head && !fields.some(([name]) => name === "content-length")) {
      // A null body would be given a length of 0, which the answer to a GET may
      // not have. A stream that is empty gets no length at all.
      body = new ReadableStream({ pull: (controller) => controller.close() });
    }
    return new Response(body, { status, headers: fields });
  }

  clientPresent(request: Request): Promise<boolean> {
    return isPresent(request);
  }

  accept(
    request: Request,
    _connection: unknown,
    acceptance: Acceptance,
    events: ClientEvents,
  ): Response {
    return acceptDeno(request, acceptance, events);
  }
}
