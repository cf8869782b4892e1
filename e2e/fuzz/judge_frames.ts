/**
 * What is not right about what a bridge has made of frames.
 *
 * @module
 */

import type { ReferenceFrames } from "../../testing/reference_frames.ts";
import type { Bridged } from "./frames.ts";

/** In words, or nothing if all is right. */
export function frameFault(
  wanted: ReferenceFrames,
  { there, back, ended }: Bridged,
): string | undefined {
  if (there.end === "invalid") return `sent on ${there.why}`;
  if (back.end === "invalid") return `sent back ${back.why}`;
  if (!ended) return "it did not end";
  // Never another message, never one of what is not valid.
  for (const [at, message] of there.messages.entries()) {
    if (message !== wanted.messages[at]) {
      return `message ${at} is ${short(message)}, not ${
        short(wanted.messages[at])
      }`;
    }
  }
  // What is refused may take with it what came shortly before.
  if (wanted.end === "invalid") {
    return there.end === "closed" && there.code === 1000
      ? "the other end was told that all went well"
      : undefined;
  }
  if (there.messages.length < wanted.messages.length) {
    return `${there.messages.length} of ${wanted.messages.length} messages came`;
  }
  // Each end answers pings by itself, and may answer only the last (§5.5.3).
  if (wanted.end !== "closed") return undefined;
  // What cannot become UTF-8 any more may be refused before its message ends, and
  // Deno's server ends the connection then without a close frame.
  if (there.end !== "closed" && wanted.unfinished) return undefined;
  if (there.end !== "closed") return "no close frame came";
  if (there.code !== wanted.code) {
    return `the code is ${there.code}, not ${wanted.code}`;
  }
  return there.reason === wanted.reason
    ? undefined
    : `the reason is ${short(there.reason)}`;
}

function short(text: string | undefined): string {
  return text === undefined
    ? "none"
    : JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
