/**
 * A transport over a `fetch` that was handed in: a test's fake, or a wrapper.
 *
 * @module
 */

import type { Transport } from "../proxy/transport.ts";
import { probeFailure } from "./failures.ts";

/**
 * Has attempts and probes made by `send`, a `fetch`, and all else done by the
 * runtime's own transport.
 */
export function customTransport(
  own: Transport,
  send: typeof globalThis.fetch,
): Transport {
  return Object.assign(
    standIn(own),
    {
      // Nothing is known of how many requests a `fetch` handed in makes at once.
      full: () => false,
      // It is called as the standard says, on both runtimes alike.
      whole: () => undefined,
      copiesFields: false,
      send: (outgoing) => {
        const { url, method, fields, payload, whole, signal } = outgoing;
        const init: RequestInit = {
          method,
          headers: own.forFetch(fields),
          redirect: "manual",
          signal,
        };
        if (whole !== undefined) init.body = whole;
        if (payload !== undefined) {
          init.body = payload.stream;
          // Asked for by the standard when a body is a stream.
          (init as { duplex?: string }).duplex = "half";
        }
        return send(url, init);
      },
      probe: async (backend, path, signal, host = backend.authority) => {
        try {
          const url = `${backend.origin}${backend.basePath}${path}`;
          const response = await send(url, {
            redirect: "manual",
            signal,
            headers: { host },
          });
          response.body?.cancel().catch(() => {});
          return { status: response.status };
        } catch (error) {
          return probeFailure(own.classify(error));
        }
      },
    } satisfies Partial<Transport>,
  );
}

/**
 * An object that does what `own` does, and of which single methods can be
 * replaced. One that merely inherits would not do: a method that reads a private
 * field throws when it is called on anything but the object that has it.
 */
function standIn<T extends object>(own: T): T {
  const other: T = Object.create(own);
  for (
    let from = Object.getPrototypeOf(own);
    from !== null && from !== Object.prototype;
    from = Object.getPrototypeOf(from)
  ) {
    const methods = Object.entries(Object.getOwnPropertyDescriptors(from));
    for (const [name, { value, get }] of methods) {
      if (name === "constructor" || Object.hasOwn(other, name)) continue;
      Object.defineProperty(
        other,
        name,
        get === undefined
          ? { value: value.bind(own), writable: true, configurable: true }
          : { get: get.bind(own), configurable: true },
      );
    }
  }
  return other;
}
