// An upload that is read and nothing is done to it: what a proxy on Deno pays
// that has to keep the beginning for another attempt.

import { reading } from "../proxy/body.ts";
import { Relay } from "../proxy/relay.ts";
import { Sized } from "../runtime/deno/sized.ts";

/** The body of a request, if any, read here piece by piece as it comes. */
export function read({ body, headers }: Request): Blob | null {
  if (body === null) return null;
  const { stream } = new Relay(reading(body), {
    progress() {},
    relayed() {},
    now: () => 0,
  });
  return new Sized(stream, Number(headers.get("content-length")));
}
