/**
 * The interface to Deno's server. Measured on 2.9.6.
 *
 * @module
 */

import {
  type Chunk,
  type Reading,
  readingInto,
  type Reads,
} from "../../proxy/body.ts";
import { type Fields, Lines, type Read } from "../../proxy/fields.ts";
import type { Server } from "../../proxy/server.ts";
import type { Acceptance, ClientEvents } from "../../proxy/socket.ts";
import { requestLines, wholeBody } from "./inside.ts";
import { acceptDeno, isPresent } from "./websocket.ts";

/**
 * Reads of uploads. Deno's server reads from a connection as many bytes at once
 * as were ever requested on it, initially 1 KB, and copies what a smaller
 * request leaves of them again each time. The minimum holds the largest upload
 * that is read completely and its head: the next such upload on the connection
 * arrives with its head, which costs a third less.
 */
const LARGE: Reads = { least: 80 * 1024, most: 256 * 1024, spare: [] };

/** Reads of small uploads: in one buffer. */
const SMALL: Reads = { ...LARGE, most: LARGE.least, spare: [] };

/** Deno's server. */
export class DenoServer implements Server {
  // A reset is not reported if it came before the signal was read.
  readonly losesResets = true;
  readonly wholeUpTo = 64 * 1024;
  readonly copiesBodies = true;
  readonly refersToChunks = true;

  pastesUrl(connection: unknown): boolean {
    return (connection as Partial<Deno.ServeHandlerInfo> | null | undefined)
      ?.remoteAddr !== undefined;
  }

  peerOf(_request: Request, connection: unknown): string | undefined {
    // A closed socket is reported as `0.0.0.0`; a Unix domain socket has a path
    // and no host.
    const address = (connection as Partial<Deno.ServeHandlerInfo> | undefined)
      ?.remoteAddr;
    return (address as Deno.NetAddr | undefined)?.hostname;
  }

  connectionOf(connection: unknown): string | undefined {
    const address = (connection as Partial<Deno.ServeHandlerInfo> | undefined)
      ?.remoteAddr as Deno.NetAddr | undefined;
    // Any port accepts HTTP/2, with or without TLS.
    return address?.port === undefined
      ? undefined
      : `${address.hostname} ${address.port}`;
  }

  read(request: Request, logged: boolean): Read | undefined {
    // `Headers` cannot be read after the request has ended, unless they were
    // taken before.
    if (logged) return undefined;
    const lines = requestLines(request);
    return lines && new Lines(lines);
  }

  whole(request: Request, length: number): Chunk | undefined {
    return wholeBody(request, length);
  }

  reading(stream: ReadableStream<Chunk>, length: number | undefined): Reading {
    return readingInto(
      stream,
      length,
      length !== undefined && length < SMALL.most ? SMALL : LARGE,
    );
  }

  respond(
    status: number,
    fields: Fields,
    body: Chunk | ReadableStream<Chunk> | null,
    head: boolean,
  ): Response {
    // Deno sends a 205 without framing, and the client waits for a body; 204 is
    // the nearest status that always ends. The response to a HEAD ends with its
    // head anyway.
    if (status === 205 && !head) status = 204;
    // RFC 9110 §6.4.1: these have no body, and `Response` accepts none for
    // them, not even an empty stream: a HEAD answered with 304 would be a 500.
    if (status === 204 || status === 205 || status === 304) {
      body = null;
      // RFC 9110 §8.6. Deno would send it over HTTP/2, and clients reset the
      // stream.
      if (status === 204) {
        fields = fields.filter(([n]) => n !== "content-length");
      }
    } else if (head && !fields.some(([name]) => name === "content-length")) {
      // A null body would get a length of 0, which may be wrong for the
      // resource. An empty stream gets no length.
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
