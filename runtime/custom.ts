/**
 * A transport with a custom `fetch`: a test's fake, or a wrapper.
 *
 * @module
 */

import type { FetchTransport, Transport } from "../proxy/transport.ts";
import { probeByFetch } from "./fetch_probe.ts";

/**
 * Makes attempts and probes with `send`, a custom `fetch`, and everything else
 * with the runtime's own transport. `send` is called as the standard says,
 * alike on both runtimes. Its limit of concurrent requests is unknown.
 */
export function customTransport(
  own: FetchTransport,
  send: typeof globalThis.fetch,
): Transport {
  return {
    native: own.native,
    sendsMethod: (method) => own.sendsMethod(method),
    async send(outgoing) {
      const { url, method, fields, payload, whole } = outgoing;
      const { signal } = outgoing.abort;
      const init: RequestInit = {
        method,
        headers: own.forFetch(fields),
        redirect: "manual",
        signal,
      };
      if (whole !== undefined) init.body = whole;
      if (payload !== undefined) {
        init.body = payload.stream();
        // Required by the standard for a stream.
        (init as { duplex?: string }).duplex = "half";
      }
      return await send(url, init);
    },
    classify: (error) => own.classify(error),
    probe: (backend, path, signal, options) =>
      probeByFetch({
        backend,
        path,
        signal,
        options,
        own: [],
        send,
        classify: (error) => own.classify(error),
      }),
    dial: (backend, signal, limitMs) => own.dial(backend, signal, limitMs),
    classifyDial: (error) => own.classifyDial(error),
    close: () => own.close(),
  };
}
