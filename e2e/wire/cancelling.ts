/**
 * Cancelling: when the client disconnects, so does the proxy from the backend,
 * at once, and nothing leaks.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { Handler } from "../harness/backend.ts";
import { RawConnection, requestText } from "../harness/client.ts";
import { until, within } from "../harness/wait.ts";
import type { Group, Round, WireCase } from "./case.ts";

/** Within this the backend's connection is closed. */
const SOON_MS = 1_000;

/** For a machine that is busy at that moment. */
const GRACE_MS = 4_000;

/**
 * Repetitions of each way of leaving; `WIRE_CANCELS=2000` for the long form.
 */
const TIMES = Number(Deno.env.get("WIRE_CANCELS") ?? 500);

const GET = requestText("GET", "/c");
// Too large to be read completely before a backend gets the request.
const POST =
  "POST /c HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\nabc";

const silent: Handler = async (conn) => {
  await conn.closed;
};

const begun: Handler = async (conn) => {
  await conn.send(
    "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n",
  );
  await conn.chunk("first");
  await conn.closed;
};

const declared: Handler = async (conn) => {
  await conn.send(
    "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 1000000\r\n\r\nfirst",
  );
  await conn.closed;
};

const uploading: Handler = async (_conn, request) => {
  await request.body();
};

/** Phases of a request. */
const STAGES: [
  promise: string,
  handler: Handler,
  request: string | Uint8Array,
  answered: boolean,
][] = [
  ["before the header", silent, GET, false],
  ["in a chunked body", begun, GET, true],
  ["in a declared body", declared, GET, true],
  ["in the upload", uploading, POST, false],
];

async function leave(connection: RawConnection, end: string): Promise<void> {
  if (end === "RST") await connection.reset();
  else await connection.close();
}

function cancels(
  promise: string,
  handler: Handler,
  request: string | Uint8Array,
  answered: boolean,
  end: string,
): WireCase {
  return {
    name:
      `cancel: a client that leaves ${promise} with ${end} frees the backend within a second`,
    on: "proven",
    async run(round: Round) {
      const { connection, backend } = round;
      backend.handler = handler;
      await connection.write(request);
      const { conn } = await round.arrived();
      if (answered) await connection.readHead();
      const left = performance.now();
      await leave(connection, end);
      const { at } = await within(
        conn.closed,
        SOON_MS + GRACE_MS,
        "the backend's connection to end",
      );
      assert.ok(at - left < SOON_MS + GRACE_MS / 2, `${at - left} ms`);
      await round.stillFine();
    },
  };
}

/** The cases. */
export const cancelling: Group = {
  name: "cancelling",
  cases: [
    ...STAGES.flatMap(([promise, handler, request, answered]) =>
      ["FIN", "RST"].map((end) =>
        cancels(promise, handler, request, answered, end)
      )
    ),
    {
      name: "cancel: a client that left is no reason to try elsewhere",
      async run(round) {
        const { connection, backend } = round;
        backend.handler = silent;
        await connection.write(GET);
        const { conn } = await round.arrived();
        await connection.reset();
        await conn.closed;
        await round.stillFine();
        assert.equal(round.requests.length, 2, "one request and the one after");
      },
    },
    ...STAGES.map(([promise, handler, request, answered]): WireCase => ({
      name:
        `cancel: ${TIMES} clients that leave ${promise} leave no descriptor behind`,
      on: "fresh",
      async run(round) {
        const { backend, proxy } = round;
        await round.stillFine();
        const before = proxy.fds();
        backend.handler = handler;
        const { opened, closed } = backend.connections;
        for (let done = 0; done < TIMES;) {
          const count = Math.min(25, TIMES - done);
          const seen = backend.requests.length;
          const clients = await Promise.all(
            Array.from(
              { length: count },
              () => RawConnection.connect(proxy.port),
            ),
          );
          await Promise.all(clients.map(async (client, i) => {
            await client.write(request);
            if (answered) await client.readHead();
            // Some leave before their request has come through.
            else if (i % 2 === 0) {
              await until(() => backend.requests.length > seen);
            }
            await leave(client, i % 3 === 0 ? "RST" : "FIN");
          }));
          done += count;
        }
        await until(
          () =>
            backend.connections.opened - opened ===
              backend.connections.closed - closed || backend.open <= 2,
          { timeoutMs: 10_000, what: () => `${backend.open} to be closed` },
        );
        // What either runtime keeps for the next requests is a handful.
        await until(() => proxy.fds() <= before + 8, {
          timeoutMs: 10_000,
          what: () => `${proxy.fds()} descriptors to be ${before} again`,
        });
        await round.stillFine();
      },
    })),
  ],
};
