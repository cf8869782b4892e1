/**
 * The interface to Deno's server. Measured on 2.9.6.
 *
 * @module
 */

import { type Chunk, type Reading, readingInto } from "../../proxy/body.ts";
import { type Fields, Lines, type Read } from "../../proxy/fields.ts";
import type { Server } from "../../proxy/server.ts";
import type { Acceptance, ClientEvents } from "../../proxy/socket.ts";
import { requestLines, wholeBody } from "./inside.ts";
import { acceptDeno, isPresent } from "./websocket.ts";

/** Size of reads of an upload, in bytes. */
const UPLOAD_READ = Number(Deno.env.get("UPR") ?? 80) * 1024;
const SPARE: ArrayBuffer[] = [];

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

  read(request: Request): Read | undefined {
    const lines = requestLines(request);
    return lines && new Lines(lines);
  }

  whole(request: Request, length: number): Chunk | undefined {
    return wholeBody(request, length);
  }

  reading(stream: ReadableStream<Chunk>, length: number | undefined): Reading {
    // The server reads at once as much as was ever requested on the connection,
    // initially 1 KB. If only the few bytes of a small upload were requested,
    // the next upload would not arrive with its head, and would cost 1.3 times.
    return readingInto(stream, length, {
      least: UPLOAD_READ,
      most: UPLOAD_READ,
      spare: SPARE,
    });
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
const T = Number(Deno.env.get("TRICK") ?? 0);
if (T > 0) new ArrayBuffer(T * 1024 * 1024).transfer(0);
