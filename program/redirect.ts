/**
 * `REDIRECT_PORT`: a second listener that redirects `http:` requests to the
 * same URL with `https:`.
 *
 * @module
 */

import { messageOf } from "../base/text.ts";
import { answer } from "../proxy/errors.ts";
import {
  isRefusal,
  type Refusal,
  refuseAsterisk,
  refuseHost,
  targetOf,
} from "../proxy/guard.ts";
import type { Handler, Listener } from "../runtime/listener.ts";
import { listen, server } from "../runtime/runtime.ts";
import { drain, type DrainOptions, Gate } from "../runtime/serve.ts";

/** The redirecting listener. */
export interface RedirectServer {
  /** The port it listens on. */
  port: number;
  /** Drains and stops it. */
  drain(options: DrainOptions): Promise<void>;
  /** Stops it at once. */
  kill(): void;
}

/** Options for {@linkcode serveRedirect}. */
export interface RedirectOptions {
  /** Port to listen on; 0: any free port. */
  port: number;
  /** Address or name to listen on. */
  host: string;
  /** Port of the TLS listener. */
  httpsPort: number;
  /** Takes a line for the log. */
  log: (line: string) => void;
}

/**
 * Makes the handler that redirects.
 *
 * The location is the client's own `Host`, checked to be only a host, and its
 * own target. So no link can redirect from this server to another one.
 */
export function redirector(httpsPort: number): Handler {
  const port = httpsPort === 443 ? "" : `:${httpsPort}`;
  return (request, connection) => {
    const head = request.method === "HEAD";
    // Deno makes up a host if there is none, but only in the URL.
    const host = request.headers.get("host");
    const wrong = refuseHost(host ?? "");
    if (host === null || wrong !== undefined) return refused(wrong!, head);
    const target = targetOf(
      request.url,
      host,
      server.pastesUrl?.(connection),
    );
    if (isRefusal(target)) return refused(target, head);
    const odd = refuseAsterisk(request.method, target.text);
    if (odd !== undefined) return refused(odd, head);
    const name = host.replace(/:\d*$/, "");
    const location = `https://${name}${port}${target.text}`;
    const text = `Moved to ${location}\n`;
    return new Response(head ? null : text, {
      // Keeps the method and the body (RFC 9110 §15.4.9).
      status: 308,
      headers: {
        location,
        "content-type": "text/plain; charset=utf-8",
        "content-length": String(text.length),
        // The client has no further use for this connection.
        connection: "close",
      },
    });
  };
}

/** Starts the redirecting listener. */
export function serveRedirect(
  { port, host, httpsPort, log }: RedirectOptions,
): RedirectServer {
  const redirect = redirector(httpsPort);
  let started = 0;
  const gate = new Gate((request, connection) => {
    started++;
    return redirect(request, connection);
  });
  let listener: Listener;
  try {
    listener = listen(gate.handle, { port, host, log });
  } catch (error) {
    const reason = messageOf(error);
    throw new Error(`redirect port ${port}: ${reason}`, { cause: error });
  }
  return {
    port: listener.port,
    drain: (options) =>
      drain(listener, gate, {
        drain() {},
        uploading: false,
        get started() {
          return started;
        },
        bridged: 0,
        goAway() {},
        cut() {},
        stop: () => Promise.resolve(),
      }, options),
    kill: () => listener.kill(),
  };
}

function refused({ status, type, sentence, fields }: Refusal, head: boolean) {
  return answer(status, type, {
    sentence,
    fields: { ...fields, connection: "close" },
    head,
  });
}
