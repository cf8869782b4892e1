/**
 * Messages arrive unchanged: random requests and responses, once directly to a
 * backend that records them, and once through the proxy.
 */

import assert from "node:assert/strict";
import { seeded } from "../testing/random.ts";
import {
  type RandomAnswer,
  randomAnswer,
  randomRequest,
  written,
} from "./exact/random.ts";
import { rawBackend, type RawRequest } from "./harness/backend.ts";
import { RawConnection, type RawResponse } from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { concat } from "./harness/wire.ts";

/** The long form: EXACT_CASES=3000. */
const CASES = Number(Deno.env.get("EXACT_CASES") ?? 150);
const SEED = Number(Deno.env.get("EXACT_SEED") ?? 1);

/**
 * What a proxy removes, replaces or adds, by DESIGN ("Said as it was said").
 */
const REQUEST_OWN: ReadonlySet<string> = new Set([
  ...["connection", "content-length", "transfer-encoding", "via"],
  ...["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"],
]);
const ANSWER_OWN: ReadonlySet<string> = new Set([
  ...["connection", "content-length", "keep-alive", "transfer-encoding"],
]);

/**
 * Fields in a form without what the runtimes' servers hide: the case of names,
 * the order of fields with different names (RFC 9110 §5.3), and whether values
 * came on one line or several, except cookies.
 */
function plain(
  headers: readonly (readonly [string, string])[],
  own: ReadonlySet<string>,
): string[] {
  const joined = new Map<string, string>();
  const lines: string[] = [];
  for (const [written, value] of headers) {
    const name = written.toLowerCase();
    if (own.has(name)) continue;
    if (name === "set-cookie") lines.push(`${name}: ${value}`);
    else {
      const known = joined.get(name);
      joined.set(name, known === undefined ? value : `${known}, ${value}`);
    }
  }
  for (const [name, value] of joined) lines.push(`${name}: ${value}`);
  return lines.sort();
}

/**
 * What `fetch` adds to requests, and how it spells their targets, is listed in
 * wire/exceptions.ts: over it, these are not compared.
 */
const FETCH_OWN: ReadonlySet<string> = new Set([
  ...REQUEST_OWN,
  ...["accept", "accept-encoding", "accept-language", "user-agent"],
]);

async function shownRequest(request: RawRequest, over: Over) {
  const body = await request.body();
  const byFetch = over === "fetch";
  // Bun's `fetch` declares a length of 0 where there is no body.
  const bodiless = byFetch && body.length === 0;
  return {
    line: `${request.method} ${request.target} ${request.version}`,
    fields: plain(request.headers, byFetch ? FETCH_OWN : REQUEST_OWN),
    framing: bodiless ? "none" : request.framing,
    length: bodiless ? undefined : request.length,
    body: hash(body),
  };
}

type Over = "socket" | "fetch";

function shownAnswer(answer: RawResponse) {
  return {
    status: answer.status,
    fields: plain(answer.headers, ANSWER_OWN),
    body: hash(answer.body),
  };
}

/** Bytes in a form that two can be compared by, and that can be read. */
function hash(bytes: Uint8Array): string {
  let value = 0;
  for (const byte of bytes) value = Math.imul(value, 31) + byte | 0;
  return `${bytes.length} bytes, ${value}`;
}

/** Sends a request and reads its response; the connection may be kept. */
async function ask(
  connection: RawConnection,
  bytes: readonly Uint8Array[],
  method: string,
): Promise<RawResponse> {
  const writing = connection.write(concat(bytes as Uint8Array[]));
  const answer = await connection.readResponse({ method });
  await writing;
  return answer;
}

for (const over of ["socket", "fetch"] as const) {
  forBoth(
    `random requests and responses arrive as they were sent, over ${over}`,
    {
      timeoutMs: 60_000 + CASES * 1_000,
    },
    async (runtime) => {
      const random = seeded(SEED);
      const answers: RandomAnswer[] = [];
      const seen: Awaited<ReturnType<typeof shownRequest>>[] = [];
      await using backend = await rawBackend(async (conn, request) => {
        const { status, fields, body, framing } =
          answers[Number(request.header("x-case"))]!;
        seen.push(await shownRequest(request, over));
        await conn.reply({ status, headers: fields, body, framing });
      });
      await using proxy = await startProxy(runtime, {
        env: {
          BACKENDS: backend.url,
          TRANSPORT: over,
          HEALTH_PATH: "off",
          EJECT_AFTER: "off",
        },
      });
      await using straight = await Connections.to(backend.port);
      await using through = await Connections.to(proxy.port);
      for (let id = 0; id < CASES; id++) {
        const request = randomRequest(random);
        answers.push(randomAnswer(random));
        const bytes = written(request, id, random);
        const direct = shownAnswer(await straight.ask(bytes, request.method));
        const proxied = shownAnswer(await through.ask(bytes, request.method));
        const [wanted, given] = seen.splice(0) as [
          typeof seen[number],
          typeof seen[number],
        ];
        const said = `seed ${SEED}, case ${id}`;
        assert.deepEqual(given, wanted, said);
        assert.deepEqual(proxied, direct, said);
      }
    },
  );
}

/** One connection at a time to a port, for as long as it is kept. */
class Connections implements AsyncDisposable {
  #open: RawConnection | undefined;

  private constructor(readonly port: number) {}

  static to(port: number): Promise<Connections> {
    return Promise.resolve(new Connections(port));
  }

  async ask(
    bytes: readonly Uint8Array[],
    method: string,
  ): Promise<RawResponse> {
    this.#open ??= await RawConnection.connect(this.port, {
      timeoutMs: 20_000,
    });
    const answer = await ask(this.#open, bytes, method);
    const closes = answer.closed ||
      answer.headerAll("connection").join().toLowerCase().includes("close");
    if (closes) {
      await this.#open.close();
      this.#open = undefined;
    }
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#open?.close();
  }
}
