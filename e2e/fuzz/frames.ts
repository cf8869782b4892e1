/**
 * One WebSocket through the program, with both ends in hand: bytes go in at one
 * of them, and what comes out at the other is read strictly.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import {
  framesOf,
  type ReferenceFrames,
} from "../../testing/reference_frames.ts";
import { delay, within } from "../harness/wait.ts";
import { PeerGone, type Wire } from "../harness/wire.ts";
import { ask, type Frames, grant } from "../websocket/raw.ts";
import { type RawBackend, rawBackend } from "../harness/backend.ts";

/** Which end the bytes go in at. */
export type From = "client" | "backend";

/** What came of bytes that went in at one end. */
export interface Bridged {
  /** What the other end got, read strictly. */
  there: ReferenceFrames;
  /** What came back, which is pongs and a close frame. */
  back: ReferenceFrames;
  /** Both connections have ended. */
  ended: boolean;
}

/** A backend that grants each WebSocket and hands it over. */
export class Granting implements AsyncDisposable {
  readonly #waiting = new Map<string, (frames: Frames) => void>();
  readonly #backend: RawBackend;

  private constructor(backend: RawBackend) {
    this.#backend = backend;
    backend.handler = async (conn, request) => {
      const frames = await grant(conn, request);
      this.#waiting.get(request.target)?.(frames);
    };
  }

  static async start(): Promise<Granting> {
    return new Granting(await rawBackend(undefined, { allowProblems: true }));
  }

  get url(): string {
    return this.#backend.url;
  }

  /** The backend's end of the WebSocket that is asked for at this target. */
  at(target: string): Promise<Frames> {
    return new Promise((resolve) => this.#waiting.set(target, resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#backend.stop();
  }
}

/** How long both ends may take to end. */
const END_MS = 10_000;
/** How long an end waits for what may still come where nothing has to. */
const QUIET_MS = 60;

let asked = 0;

/** Reads a connection to its end, or until it has been told to stop. */
async function collect(wire: Wire, pieces: Uint8Array[]): Promise<void> {
  try {
    for (;;) {
      const piece = await wire.readSome();
      if (piece === null) return;
      pieces.push(piece.data.slice());
    }
  } catch (error) {
    if (!(error instanceof PeerGone)) throw error;
  }
}

/**
 * Sends the pieces from one end of a new WebSocket, and gives what came out.
 *
 * @param ends Whether what is sent ends the connection, by a close frame or by
 * being invalid. Otherwise it is closed after a moment.
 */
export async function bridged(
  port: number,
  backend: Granting,
  from: From,
  pieces: readonly Uint8Array[],
  ends: boolean,
): Promise<Bridged> {
  const target = `/${++asked}`;
  const other = backend.at(target);
  await using here = await ask(port, target, [], { timeoutMs: 2 * END_MS });
  if (here.status !== 101) throw new Error(`status ${here.status}`);
  const { wire: client } = here.frames;
  const { wire: server } = await other;
  server.timeoutMs = 2 * END_MS;
  const [near, far] = from === "client" ? [client, server] : [server, client];
  const there: Uint8Array[] = [];
  const back: Uint8Array[] = [];
  const reading = Promise.all([
    closes(far, there, from === "client" ? "backend" : "client", true),
    closes(near, back, from, false),
  ]);
  try {
    for (const piece of pieces) {
      await near.write(piece);
      if (pieces.length > 1) await delay(0);
    }
  } catch (error) {
    // It was refused before all of it was written.
    if (!(error instanceof PeerGone)) throw error;
  }
  let ended = true;
  if (ends) {
    await within(reading, END_MS, "the end").catch(() => ended = false);
  } else await delay(QUIET_MS);
  await client.close();
  await server.close();
  await reading;
  return {
    there: framesOf(Buffer.concat(there), from === "client"),
    back: framesOf(Buffer.concat(back), from === "backend"),
    ended,
  };
}

/**
 * Collects to the end. Answers a close frame, if this end has not sent one, and
 * ends the connection behind it, if this end is the server (§5.5.1, §7.1.1).
 */
async function closes(
  wire: Wire,
  pieces: Uint8Array[],
  end: From,
  answers: boolean,
): Promise<void> {
  const collecting = collect(wire, pieces);
  let over = false;
  collecting.then(() => over = true);
  let seen = 0;
  let read = 0;
  while (!over) {
    await Promise.race([collecting, delay(2)]);
    // Looked at where nothing more has come for a moment: it is read as a whole.
    const came = pieces.length > seen;
    seen = pieces.length;
    if (came || seen === read) continue;
    read = seen;
    const { end: how } = framesOf(Buffer.concat(pieces), end === "backend");
    if (how !== "closed" && how !== "invalid") continue;
    // An empty close frame, masked where a client sends it.
    const bytes = end === "client"
      ? new Uint8Array([0x88, 0x80, 0, 0, 0, 0])
      : new Uint8Array([0x88, 0]);
    try {
      if (answers) await wire.write(bytes);
      if (end === "backend") await wire.end();
    } catch (error) {
      if (!(error instanceof PeerGone)) throw error;
    }
    break;
  }
  await collecting;
}
