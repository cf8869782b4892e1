/**
 * A backend that reads requests to their last byte and then closes the
 * connection without a response: the proxy cannot know whether they were
 * processed. Requests are identified by method and id.
 *
 * @module
 */

import { ended, opened } from "../harness/cleanup.ts";

/** One request that was received whole. */
export interface Received {
  /** As sent. */
  method: string;
  /** Its `X-Id`. */
  id: string;
  /** How its body was framed. */
  framing: "none" | "empty" | "declared" | "chunked";
  /** Bytes of its body. */
  size: number;
  /** Whether the connection had carried a request before. */
  reused: boolean;
}

const latin1 = new TextDecoder("latin1");
const encoder = new TextEncoder();
const OK = encoder.encode("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");

/** Listens, counts and drops. */
export class Dropper implements AsyncDisposable {
  readonly label = "dropper";
  /** The received requests, except warm-up GETs. */
  readonly received: Received[] = [];
  readonly #listener: Deno.TcpListener;
  readonly #open = new Set<Deno.TcpConn>();
  readonly #done: Promise<void>;

  /** Answers what `answers` accepts, and drops the rest. */
  constructor(readonly answers: (received: Received) => boolean) {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.#done = this.#serve();
    opened(this);
  }

  /** For `BACKENDS`. */
  get url(): string {
    return `http://127.0.0.1:${this.#listener.addr.port}`;
  }

  /** Ends it. */
  async abandon(): Promise<void> {
    this.#listener.close();
    for (const conn of this.#open) conn.close();
    this.#open.clear();
    await this.#done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    ended(this);
    await this.abandon();
  }

  async #serve(): Promise<void> {
    try {
      for await (const conn of this.#listener) {
        this.#open.add(conn);
        this.#connection(conn).catch(() => {}).finally(() => {
          if (this.#open.delete(conn)) conn.close();
        });
      }
    } catch {
      // Closed.
    }
  }

  async #connection(conn: Deno.TcpConn): Promise<void> {
    const piece = new Uint8Array(64 * 1024);
    let buffer = "";
    const more = async () => {
      const size = await conn.read(piece);
      if (size === null) throw new Error("gone");
      buffer += latin1.decode(piece.subarray(0, size));
    };
    const take = async (size: number) => {
      while (buffer.length < size) await more();
      const text = buffer.slice(0, size);
      buffer = buffer.slice(size);
      return text;
    };
    const line = async (mark: string) => {
      let end: number;
      while ((end = buffer.indexOf(mark)) < 0) await more();
      return (await take(end + mark.length)).slice(0, -mark.length);
    };
    for (let reused = false;; reused = true) {
      const head = await line("\r\n\r\n");
      const method = head.slice(0, head.indexOf(" "));
      const id = /^x-id: *(\S+)/im.exec(head)?.[1] ?? "";
      const length = /^content-length: *(\d+)/im.exec(head)?.[1];
      let size = 0;
      let framing: Received["framing"] = length === undefined
        ? "none"
        : length === "0"
        ? "empty"
        : "declared";
      if (/^transfer-encoding:.*chunked/im.test(head)) {
        framing = "chunked";
        for (;;) {
          const chunk = parseInt(await line("\r\n"), 16);
          await take(chunk + 2);
          if (chunk === 0) break;
          size += chunk;
        }
      } else {
        size = (await take(Number(length ?? 0))).length;
      }
      const received: Received = { method, id, framing, size, reused };
      const answered = this.answers(received);
      if (!answered || method !== "GET") this.received.push(received);
      if (!answered) return;
      await conn.write(OK);
    }
  }
}
