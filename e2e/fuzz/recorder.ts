/**
 * Backends that record what a proxy sends and read it in two ways.
 *
 * A strict one executes the requests that it reads by the RFC, a lenient one
 * whatever it can parse on its connection, in one of several ways. Both respond
 * with what they have executed. The bytes of each connection are then read
 * again in all ways, which must agree.
 *
 * @module
 */

import net from "node:net";
import { requestsOf } from "../../testing/reference_request.ts";
import { LENIENCIES, type Leniency, lenientRequestAt } from "./lenient.ts";

/** A request that a backend has acted on. */
export interface Executed {
  method: string;
  target: string;
  body: string;
  /** Of a strict reading only. */
  fields: readonly (readonly [string, string])[];
  /** Which backend. */
  by: string;
}

/** What a backend reports. */
export interface Listener {
  executed(request: Executed): void;
  /** What the proxy sent that is malformed or ambiguous. */
  violated(what: string): void;
}

/** A server that reads requests in one way; `strict`, or one of the lenient. */
export class Recorder {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  connections = 0;

  constructor(
    readonly how: "strict" | Leniency,
    private readonly listener: Listener,
  ) {
    this.#server = net.createServer((socket) => this.#serve(socket));
  }

  /** Listens; gives its URL for `BACKENDS`. */
  async start(): Promise<string> {
    await new Promise<void>((resolve) =>
      this.#server.listen(0, "127.0.0.1", resolve)
    );
    const { port } = this.#server.address() as net.AddressInfo;
    return `http://127.0.0.1:${port}`;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #serve(socket: net.Socket): void {
    this.connections++;
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    let text = "";
    let over = false;
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("data", (bytes) => {
      if (over) return;
      text += bytes.toString("latin1");
      if (this.how === "strict") {
        const { requests, end, why, rest } = requestsOf(text);
        for (const request of requests) {
          this.#agree(text, request.from, request);
          if (request.faults.length > 0) {
            this.listener.violated(
              `sent a request with ${request.faults}: ${JSON.stringify(text)}`,
            );
          }
          this.#execute(socket, request, request.fields);
        }
        if (end === "invalid") {
          over = true;
          this.listener.violated(`sent ${why}: ${JSON.stringify(text)}`);
          socket.destroy();
        }
        text = text.slice(rest);
        return;
      }
      for (let at = 0;;) {
        const request = lenientRequestAt(text, at, this.how);
        if (request === undefined) {
          text = text.slice(at);
          return;
        }
        at = request.to;
        this.#execute(socket, request, []);
      }
    });
  }

  /** Whether all lenient readings find the same request as the strict one. */
  #agree(
    text: string,
    from: number,
    { method, target, body, to }: {
      method: string;
      target: string;
      body: string;
      to: number;
    },
  ): void {
    for (const how of LENIENCIES) {
      const other = lenientRequestAt(text, from, how);
      if (
        other?.method === method && other.target === target &&
        other.body === body && other.to === to
      ) continue;
      this.listener.violated(
        `sent what can be read in two ways (${how}): ${JSON.stringify(text)}`,
      );
    }
  }

  #execute(
    socket: net.Socket,
    { method, target, body }: { method: string; target: string; body: string },
    fields: readonly (readonly [string, string])[],
  ): void {
    this.listener.executed({ method, target, body, fields, by: this.how });
    const said = `did ${method} ${target} ${body.length}`;
    const head = `HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n` +
      `Content-Length: ${said.length}\r\n\r\n`;
    socket.write(method === "HEAD" ? head : head + said, "latin1");
  }
}
