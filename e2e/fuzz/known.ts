/**
 * Behaviour of a runtime's server or `fetch` that the RFC forbids, and that
 * cannot be changed here. Each has its row in `wire/exceptions.ts`, which
 * asserts it.
 *
 * @module
 */

import type { AnswerLiberty } from "../../testing/reference_answer.ts";
import type {
  Liberty,
  ReferenceRequests,
} from "../../testing/reference_request.ts";
import type { Runtime } from "../harness/proxy.ts";

/** What a runtime's server reads although it is malformed. */
export const LIBERTIES: Readonly<Record<Runtime, ReadonlySet<Liberty>>> = {
  deno: new Set<Liberty>(["space before a chunk's size"]),
  bun: new Set<Liberty>(["no empty line behind the last chunk"]),
};

/** What a runtime's server accepts although it must be refused. */
const FAULTS: Readonly<Record<Runtime, readonly string[]>> = {
  deno: ["no Host field"],
  bun: ["invalid bytes in the target", "a target of no form"],
};

/** Whether a request with these faults is known to be forwarded. */
export function tolerates(
  runtime: Runtime,
  faults: readonly string[],
): boolean {
  return faults.every((fault) => FAULTS[runtime].includes(fault));
}

/**
 * Whether the server may wait for more where a strict reader sees a request:
 * Deno's does not see the end of a head whose last lines end in LF and CRLF, if
 * it comes in two packets, and Bun's takes no LF alone for the end of a line.
 */
export function stalls(runtime: Runtime, text: string): boolean {
  return (runtime === "deno" ? /[^\r]\n\r\n/ : /(?:^|[^\r])\n/).test(text);
}

/**
 * Whether it is known that the response is followed by another: Bun's server
 * writes a bare 400 into a response when chunks turn out to be malformed.
 */
export function twoAnswers(
  runtime: Runtime,
  { end }: ReferenceRequests,
  text: string,
): boolean {
  return runtime === "bun" && end === "invalid" &&
    text.endsWith("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
}

/**
 * Whether the server is known to close the connection without a response: Bun's
 * does where requests are pipelined, and for unknown methods.
 */
export function dropped(
  runtime: Runtime,
  { requests, end }: ReferenceRequests,
): boolean {
  return runtime === "bun" &&
    (requests.length > 1 || end !== "clean" ||
      !KNOWN_TO_BUN.has(requests[0]!.method));
}

const KNOWN_TO_BUN: ReadonlySet<string> = new Set([
  ...["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"],
  ...["CONNECT", "PROPFIND", "MOVE", "COPY", "MKCOL", "LOCK", "UNLOCK"],
]);

/** What `fetch` reads of a backend although it is malformed. */
export const FETCH_LIBERTIES: Readonly<
  Record<Runtime, ReadonlySet<AnswerLiberty>>
> = {
  deno: new Set<AnswerLiberty>([
    "LF alone",
    "empty lines before an answer",
    "unused lengths",
  ]),
  bun: new Set<AnswerLiberty>([
    "LF alone",
    "status lines",
    "a coding in HTTP/1.0",
    "unused lengths",
    "no empty line behind the last chunk",
  ]),
};
