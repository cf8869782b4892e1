// An upload that is read and passed on unchanged: the cost on Deno for a proxy
// that has to keep the beginning for a retry.

import { reading } from "../proxy/body.ts";
import { Relay } from "../proxy/relay.ts";
import { Sized } from "../runtime/deno/sized.ts";

/** The body of a request, if any, read chunk by chunk as it arrives. */
export function read({ body, headers }: Request): Blob | null {
  if (body === null) return null;
  const { stream } = new Relay(reading(body), {
    progress() {},
    relayed() {},
    now: () => 0,
  });
  return new Sized(stream, Number(headers.get("content-length")));
}
