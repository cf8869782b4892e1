// An upload that is read and nothing is done to it: what a proxy on Deno pays
// that has to keep the beginning for another attempt.

import { followed, reading } from "../proxy/body.ts";
import { Sized } from "../runtime/sized.ts";

/** The body of a request, if any, read here piece by piece as it comes. */
export function read({ body, headers }: Request): Blob | null {
  if (body === null) return null;
  const { read, cancel } = reading(body);
  const stream = followed(read, cancel, { progress() {}, ended() {} });
  return new Sized(stream, Number(headers.get("content-length")));
}
