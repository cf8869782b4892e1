/**
 * `REDIRECT_PORT`: a second listener that sends clients of `http:` to the same
 * URL with `https:`.
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

/** A listener that redirects. */
export interface RedirectServer {
  /** The port, also when a free one was taken. */
  port: number;
  /** Ends it without losing a request. */
  drain(options: DrainOptions): Promise<void>;
  /** Ends it at once. */
  kill(): void;
}

/** Options for {@linkcode serveRedirect}. */
export interface RedirectOptions {
  /** Port to listen on; 0 takes a free one. */
  port: number;
  /** Address or name to listen on. */
  host: string;
  /** Port of the listener with TLS. */
  httpsPort: number;
  /** Takes a line for the log. */
  log: (line: string) => void;
}

/**
 * Makes the handler that redirects.
 *
 * Where a client is sent is where it has asked to go: its own `Host`, which is
 * nothing but a host here, and its own target behind it. So no link can be made
 * that leads from this server to another.
 */
export function redirector(httpsPort: number): Handler {
  const port = httpsPort === 443 ? "" : `:${httpsPort}`;
  return (request, connection) => {
    const head = request.method === "HEAD";
    // Deno makes one up where there is none, but only in the URL.
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
      // With the method and the body that it had (RFC 9110 §15.4.9).
      status: 308,
      headers: {
        location,
        "content-type": "text/plain; charset=utf-8",
        "content-length": String(text.length),
        // There is nothing more to be had here.
        connection: "close",
      },
    });
  };
}

/** Listens, and redirects. */
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
