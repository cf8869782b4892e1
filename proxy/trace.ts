/**
 * W3C Trace Context: a trace is continued or started, and each attempt is a
 * span.
 *
 * @module
 */

import type { Fields } from "./headers.ts";

/** The trace of a request. */
export interface Trace {
  /** 32 hexadecimal digits, the same for the whole trace. */
  readonly id: string;
  /** Two hexadecimal digits; bit 0: the trace is recorded. */
  readonly flags: string;
  /** Whether it starts here, because there was no valid `traceparent`. */
  readonly begun: boolean;
}

/**
 * `traceparent` by §3.2 of the recommendation: lower case only, no field of
 * zeros, not version `ff`. A later version may have more fields, which are
 * ignored; version `00` may not.
 */
const TRACEPARENT =
  /^(?!ff)(?!00-[^-]*-[^-]*-..-)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?$/;

/**
 * The trace of a `traceparent`, or a new one if it is invalid. Two lines arrive
 * joined and are invalid (§3.2: start a new trace).
 */
export function traceOf(traceparent: string | null): Trace {
  const [, id, flags] = TRACEPARENT.exec(traceparent ?? "") ?? [];
  // A new trace is marked as recorded: this proxy's log has its spans, and a
  // backend that samples like its parent would otherwise record nothing.
  return id === undefined
    ? { id: randomHex(16), flags: "01", begun: true }
    : { id, flags: flags!, begun: false };
}

/** A new span id. */
export function newSpanId(): string {
  return randomHex(8);
}

/**
 * Writes an attempt's span into its fields. Removes a `tracestate` without a
 * valid `traceparent` (§3.3).
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
