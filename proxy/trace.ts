/**
 * W3C Trace Context, as far as a proxy takes part in it: a trace is kept or
 * begun, and each attempt is a span of its own.
 *
 * @module
 */

import type { Fields } from "./headers.ts";

/** The trace that a request belongs to. */
export interface Trace {
  /** 32 digits that are the same all along the way. */
  readonly id: string;
  /** Two digits; bit 0 says that somebody records this trace. */
  readonly flags: string;
  /** Whether it begins here, for want of a valid `traceparent`. */
  readonly begun: boolean;
}

/**
 * `traceparent` by §3.2 of the recommendation: lower case only, no field of
 * zeros, version `ff` never. A later version may have more fields, which are
 * left aside; version `00` may not.
 */
const TRACEPARENT =
  /^(?!ff)(?!00-[^-]*-[^-]*-..-)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?$/;

/**
 * The trace that a `traceparent` names, or a new one where it names none. Two
 * lines of it have been joined by now and name none (§3.2: start anew).
 */
export function traceOf(traceparent: string | null): Trace {
  const [, id, flags] = TRACEPARENT.exec(traceparent ?? "") ?? [];
  // A new one says "recorded": this proxy's log has its spans, and a backend
  // that samples as its parent does would never record anything otherwise.
  return id === undefined
    ? { id: randomHex(16), flags: "01", begun: true }
    : { id, flags: flags!, begun: false };
}

/** A name for one attempt. */
export function newSpanId(): string {
  return randomHex(8);
}

/**
 * Writes an attempt's span into its fields. The `tracestate` of a trace that
 * could not be read goes with it (§3.3: it means nothing without its parent).
 */
export function setSpan(fields: Fields, trace: Trace, spanId: string): void {
  for (let i = fields.length - 1; i >= 0; i--) {
    const name = fields[i]![0];
    if (name === "traceparent" || (trace.begun && name === "tracestate")) {
      fields.splice(i, 1);
    }
  }
  fields.push(["traceparent", `00-${trace.id}-${spanId}-${trace.flags}`]);
}

function randomHex(bytes: number): string {
  let text = "";
  for (const byte of crypto.getRandomValues(new Uint8Array(bytes))) {
    text += HEX[byte];
  }
  return text;
}

const HEX = Array.from(
  { length: 256 },
  (_, byte) => byte.toString(16).padStart(2, "0"),
);
