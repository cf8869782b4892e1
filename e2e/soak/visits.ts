/**
 * The clients of the soak: each visit ends with a word for its result.
 *
 * @module
 */

import { Client, request } from "../chaos/load.ts";
import { ask } from "../websocket/raw.ts";

/** Kinds of visits, and how many of a hundred are of each. */
export const KINDS = {
  get: 42,
  slow: 10,
  large: 6,
  post: 20,
  upload: 5,
  events: 4,
  webSocket: 3,
  abort: 10,
} as const;

/** One of them. */
export type Kind = keyof typeof KINDS;

/** How a visit ended: `"ok"`, a status, or what broke. */
export interface Visit {
  kind: Kind;
  outcome: string;
  /** `performance.now()`. */
  startedAt: number;
  endedAt: number;
}

/**
 * Results that follow from a killed backend: a request that may have been
 * processed is a 502, and a response that has begun is cut. A GET without a
 * response so far is retried elsewhere, so that it does not fail.
 */
const WHEN_KILLED: Readonly<Record<Kind, readonly string[]>> = {
  get: [],
  slow: [],
  large: ["cut"],
  post: ["502"],
  upload: ["502"],
  events: ["cut"],
  webSocket: ["502", "cut"],
  abort: [],
};

/** Whether a kill during the visit explains how it ended. */
export function explainedByKill({ kind, outcome }: Visit): boolean {
  return WHEN_KILLED[kind].includes(outcome);
}

/** Draws a kind by its share. */
export function drawKind(random: () => number): Kind {
  let left = random() * 100;
  for (const [kind, share] of Object.entries(KINDS)) {
    if ((left -= share) < 0) return kind as Kind;
  }
  return "get";
}

const LARGE = 256 * 1024;
const UPLOAD = "u".repeat(100_000);
const BODY = "b".repeat(1_000);

/** Clients that keep their connections between visits. */
export class Visitors implements Disposable {
  readonly #idle: Client[] = [];
  #stopped = false;

  constructor(readonly port: number, readonly random: () => number) {}

  /** Makes one visit; never rejects. */
  async visit(kind: Kind): Promise<Visit> {
    const startedAt = performance.now();
    let outcome: string;
    try {
      outcome = await this.#act(kind);
    } catch (error) {
      outcome = String(error);
    }
    return { kind, outcome, startedAt, endedAt: performance.now() };
  }

  #act(kind: Kind): Promise<string> {
    switch (kind) {
      case "get":
        return this.#ask(request("GET", "/"), "0");
      case "slow":
        return this.#ask(request("GET", "/slow"), "0");
      case "large":
        return this.#ask(request("GET", "/large"), LARGE);
      case "post":
        return this.#ask(request("POST", "/", { body: BODY }), "1000");
      case "upload":
        return this.#ask(
          request("POST", "/", { body: UPLOAD, chunked: this.random() < 0.5 }),
          "100000",
        );
      case "events":
        return this.#events();
      case "webSocket":
        return this.#webSocket();
      case "abort":
        return this.#abort();
    }
  }

  /** Requests on a kept connection; a number is the length of the body. */
  async #ask(text: string, wanted: string | number): Promise<string> {
    const client = this.#idle.pop() ?? new Client(this.port);
    const result = await client.request(text);
    // One connection in fifty is not kept, so that there are always new ones.
    if (this.#stopped || this.random() < 0.02) client.close();
    else this.#idle.push(client);
    if (result.problem !== undefined) return result.problem;
    if (result.status !== 200) return String(result.status);
    const seen = typeof wanted === "number" ? result.text.length : result.text;
    return seen === wanted ? "ok" : `answered ${result.text.slice(0, 40)}`;
  }

  async #abort(): Promise<string> {
    using client = new Client(this.port);
    const text = [
      request("GET", "/slow"),
      request("GET", "/large"),
      request("GET", "/events"),
      request("POST", "/", { body: UPLOAD }),
    ][Math.floor(this.random() * 4)]!;
    const sent = this.random() < 0.3
      ? text.slice(0, Math.floor(text.length * this.random()))
      : text;
    await client.abort(sent, this.random() * 60);
    return "ok";
  }

  /** Reads events for up to 4 s, and leaves in the middle. */
  async #events(): Promise<string> {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port: this.port });
    try {
      await conn.write(new TextEncoder().encode(request("GET", "/events")));
      const wanted = 1 + Math.floor(this.random() * 40);
      const piece = new Uint8Array(4096);
      const decoder = new TextDecoder();
      let text = "";
      while (true) {
        const size = await conn.read(piece).catch(() => null);
        if (size === null) return "cut";
        text += decoder.decode(piece.subarray(0, size));
        const status = /^HTTP\/1\.1 (\d+)/.exec(text)?.[1];
        if (status !== undefined && status !== "200") return status;
        const ids = [...text.matchAll(/^data: (\d+)$/gm)].map(([, id]) => id);
        if (ids.some((id, i) => id !== String(i))) return `events ${ids}`;
        if (ids.length >= wanted) return "ok";
      }
    } finally {
      conn.close();
    }
  }

  /** Sends up to 20 messages, each of which is echoed, and closes. */
  async #webSocket(): Promise<string> {
    await using asked = await ask(this.port, "/ws");
    if (asked.status !== 101) return String(asked.status);
    const { frames } = asked;
    const count = 1 + Math.floor(this.random() * 20);
    for (let i = 0; i < count; i++) {
      const text = `${i} ${"m".repeat(Math.floor(this.random() * 2_000))}`;
      try {
        await frames.text(text);
      } catch {
        return "cut";
      }
      const seen = await frames.shown();
      if (/^(close|fin|reset)/.test(seen)) return "cut";
      if (seen !== `text ${text}`) return `message ${seen.slice(0, 40)}`;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    // Half of them send a close frame, the others disconnect.
    if (this.random() < 0.5) await frames.close(1000);
    return "ok";
  }

  /** Closes the kept connections, and keeps no more. */
  [Symbol.dispose](): void {
    this.#stopped = true;
    for (const client of this.#idle.splice(0)) client.close();
  }
}
