/**
 * WebSocket frames at random, right ones and wrong ones, from both ends of a
 * bridge over real sockets.
 *
 * What must never be: the process ends; the bridge has no end 10 s after what
 * ends it; a message arrives that a strict reader does not read, or another one,
 * or none where the strict reader reads one; either end gets malformed frames;
 * what is invalid is told the other end as a normal close.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { seeded } from "../../testing/random.ts";
import {
  framesOf,
  type ReferenceFrames,
} from "../../testing/reference_frames.ts";
import { type ProxyProcess, startProxy } from "../harness/proxy.ts";
import { closing, frameBytes } from "../websocket/raw.ts";
import { type Bridged, bridged, type From, Granting } from "./frames.ts";
import { frameFault } from "./judge_frames.ts";
import { pick, type Random } from "./mutate.ts";
import { Report } from "./report.ts";
import type { FuzzOptions } from "./requests.ts";

const PAYLOADS: readonly Buffer[] = [
  ...["", "a", "hello", "häß", "κόσμε", "\ufeff", "\u0000", "𝄞"].map((text) =>
    Buffer.from(text)
  ),
  ...[125, 126, 127, 128, 1_000, 65_535, 65_536].map((size) =>
    Buffer.alloc(size, "x")
  ),
  ...[[0xff], [0xc0], [0xc3], [0xa4], [0xe2, 0x82], [0xac], [0xed, 0xa0, 0x80]]
    .map((bytes) => Buffer.from(bytes)),
];

/** Mostly those that are in order. */
const FIRSTS = [
  ...[0x81, 0x81, 0x81, 0x82, 0x82, 0x01, 0x02, 0x00, 0x00, 0x80, 0x80],
  ...[0x89, 0x89, 0x8a, 0x88],
  ...[0x09, 0x08, 0x83, 0x8b, 0x91, 0xc1, 0xa2, 0xff, 0x0f],
];

/** The bytes of a few frames, with faults. */
function randomFrames(random: Random, masked: boolean): Uint8Array {
  const frames: Uint8Array[] = [];
  for (let left = 1 + Math.floor(random() * 5); left > 0; left--) {
    const first = pick(random, random() < 0.85 ? FIRSTS.slice(0, 14) : FIRSTS);
    const payload = first === 0x88
      ? closing(pick(random, [1000, 1001, 1005, 1011, 3000, 5000]), "bye")
      : pick(random, PAYLOADS);
    frames.push(
      frameBytes(first, payload, random() < 0.99 ? masked : !masked),
    );
  }
  // So that there is an end to wait for.
  frames.push(frameBytes(0x88, closing(1000), masked));
  let bytes = Buffer.concat(frames);
  for (let left = Math.floor(random() * 2.5); left > 0; left--) {
    // The heads are where it matters.
    const at = Math.floor(random() * Math.min(bytes.length, 24));
    const kind = random();
    if (kind < 0.5) {
      bytes[at] = bytes[at]! ^ 1 << Math.floor(random() * 8);
    } else if (kind < 0.7) {
      bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
    } else if (kind < 0.9) {
      bytes = Buffer.concat([
        bytes.subarray(0, at),
        Buffer.from([Math.floor(random() * 256)]),
        bytes.subarray(at),
      ]);
    } else {
      bytes = bytes.subarray(0, Math.floor(random() * bytes.length));
    }
  }
  return bytes;
}

/** Cuts bytes into a few pieces or leaves them as they are. */
function cut(random: Random, bytes: Uint8Array): Uint8Array[] {
  if (random() < 0.6 || bytes.length < 2) return [bytes];
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length && pieces.length < 30;) {
    const size = pieces.length === 29
      ? bytes.length
      : 1 + Math.floor(random() * random() * bytes.length);
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

/** One run against one proxy. */
export class WebSocketFuzz {
  readonly report: Report;
  #proxy: ProxyProcess | undefined;
  #next = 0;

  constructor(readonly options: Omit<FuzzOptions, "transport" | "seeds">) {
    this.report = new Report(`${options.runtime}, seed ${options.seed}`);
  }

  /** Runs it to the end; the report says what was found. */
  async run(): Promise<Report> {
    const { runtime, count, from = 0, abreast = 16 } = this.options;
    this.#next = from;
    await using backend = await Granting.start();
    this.#proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, HEALTH_PATH: "off", EJECT_AFTER: "off" },
    });
    try {
      const row = async () => {
        while (
          this.#next < from + count && this.#proxy!.exited === undefined
        ) await this.#one(this.#next++, backend);
      };
      await Promise.all(Array.from({ length: abreast }, row));
      this.report.process(this.#proxy);
    } finally {
      await this.#proxy.stop(0);
    }
    return this.report;
  }

  async #one(id: number, backend: Granting): Promise<void> {
    const random = seeded(this.options.seed * 1_000_003 + id);
    const from: From = random() < 0.5 ? "client" : "backend";
    const bytes = randomFrames(random, from === "client");
    const wanted = framesOf(bytes, from === "client");
    const ends = wanted.end === "closed" ||
      (wanted.end === "invalid" && wanted.whole);
    let given: Bridged;
    try {
      const pieces = cut(random, bytes);
      given = await bridged(this.#proxy!.port, backend, from, pieces, ends);
    } catch (error) {
      this.report.violation("error", `${id} ${error}`);
      return;
    }
    this.report.count(`${from}: ${wanted.end}`);
    const fault = frameFault(wanted, given);
    if (fault === undefined) return;
    if (this.#isKnown(wanted, given, from)) {
      return this.report.count("known of Deno's server");
    }
    const hex = Buffer.from(bytes.subarray(0, 300)).toString("hex");
    this.report.violation(
      fault.replace(/\d+|".*"/g, "…"),
      `${id} from the ${from}: ${fault}; ${
        JSON.stringify({ ...wanted, messages: wanted.messages.length })
      }: ${hex}`,
    );
  }

  /** See `LENIENT_ON_DENO`, and `KNOWN_ON_DENO` in `websocket/conformance.ts`. */
  #isKnown(
    wanted: ReferenceFrames,
    { there, back }: Bridged,
    from: From,
  ): boolean {
    if (this.options.runtime !== "deno" || from !== "client") return false;
    return LENIENT_ON_DENO.includes(wanted.why ?? "") ||
      back.why === "a large control frame" ||
      (wanted.why === "UTF-8" &&
        there.messages.length === wanted.messages.length + 1);
  }
}

/**
 * What Deno's server takes of a client although it is invalid: frames without a
 * mask, a message in another one, pongs of more than 125 bytes.
 */
const LENIENT_ON_DENO = [
  "the mask",
  "a message in a message",
  "a large control frame",
];
