/**
 * One connection of a fuzzing client: sends bytes in pieces, and collects the
 * bytes that come back until they are enough.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import net from "node:net";
import { setImmediate } from "node:timers";
import { type Reference, referenceOf } from "../../testing/reference_answer.ts";

/** A complete answer, or what stood in its place. */
export type Answer = Extract<Reference, { kind: "answer" }>;

/** The bytes that came back on a connection. */
export interface Heard {
  answers: Answer[];
  /** Of what is no complete answer: cut, or not valid. */
  rest: "none" | "cut" | "invalid";
  why: string | undefined;
  text: string;
}

/**
 * The responses in the bytes of a server, one for each of these methods.
 *
 * @param over Whether the connection has ended, which ends some responses.
 */
export function answersIn(
  text: string,
  methods: readonly string[],
  over: boolean,
): Heard {
  const answers: Answer[] = [];
  let at = 0;
  while (at < text.length) {
    const method = methods[answers.length] ?? "GET";
    const rest = text.slice(at);
    const found = referenceOf(rest, method);
    if (found.kind === "invalid") {
      return { answers, rest: "invalid", why: found.why, text };
    }
    if (found.kind === "cut") {
      return { answers, rest: "cut", why: undefined, text };
    }
    if (found.size === undefined) {
      // It ends with its connection.
      if (!over) return { answers, rest: "cut", why: undefined, text };
      answers.push(found);
      break;
    }
    answers.push(found);
    at += found.size;
  }
  return { answers, rest: "none", why: undefined, text };
}

/** How an exchange ended. */
export interface Ended extends Heard {
  /** The server ended the connection. */
  closed: boolean;
  /** No complete response for so long, and the connection stayed open. */
  hung: boolean;
}

/** What is sent, and what is waited for. */
export interface Exchange {
  port: number;
  pieces: readonly string[];
  methods: readonly string[];
  /** Number of expected responses. */
  expected: number;
  /**
   * Milliseconds to wait for more than that. If nothing has come by then, the
   * client sends FIN, and the server must end the connection.
   */
  quietMs: number | undefined;
  /** A hang. */
  limitMs: number;
}

/** Sends the pieces and reads until it is enough or the connection has ended. */
export function exchange(
  { port, pieces, methods, expected, quietMs, limitMs }: Exchange,
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({
      port,
      host: "127.0.0.1",
      allowHalfOpen: true,
    });
    let text = "";
    let done = false;
    let quiet: ReturnType<typeof setTimeout> | undefined;
    const finish = (how: { closed: boolean; hung: boolean }) => {
      if (done) return;
      done = true;
      clearTimeout(quiet);
      clearTimeout(late);
      socket.destroy();
      resolve({ ...answersIn(text, methods, how.closed), ...how });
    };
    const late = setTimeout(
      () => finish({ closed: false, hung: true }),
      limitMs,
    );
    const look = () => {
      const heard = answersIn(text, methods, false);
      if (heard.rest === "invalid") {
        return finish({ closed: false, hung: false });
      }
      if (heard.answers.length < expected) return;
      if (quietMs === undefined || heard.answers.length > expected) {
        return finish({ closed: false, hung: false });
      }
      quiet ??= setTimeout(() => {
        if (text === "") socket.end();
        else finish({ closed: false, hung: false });
      }, quietMs);
    };
    socket.setNoDelay(true);
    socket.on("error", (error) => {
      if (text === "" && /ECONNREFUSED/.test(String(error))) {
        done = true;
        clearTimeout(late);
        reject(error);
      }
    });
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
      look();
    });
    socket.on("end", () => finish({ closed: true, hung: false }));
    socket.on("close", () => finish({ closed: true, hung: false }));
    socket.on("connect", async () => {
      for (const piece of pieces) {
        if (done) return;
        socket.write(Buffer.from(piece, "latin1"));
        if (pieces.length > 1) {
          await new Promise((resolve) => setImmediate(resolve));
        }
      }
      if (expected === 0 && !done) look();
    });
  });
}
