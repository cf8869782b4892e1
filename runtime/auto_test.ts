import assert from "node:assert/strict";
import { Backend } from "../balancer.ts";
import { Abort } from "../http/signal.ts";
import type { FetchTransport, Outgoing } from "../proxy/transport.ts";
import { AutoTransport } from "./auto.ts";
import { needsSocket } from "./bun/fetch.ts";

const backend = new Backend({ url: "http://backend.test" });
const USUAL: [string, string][] = [
  ["host", "a.test"],
  ["user-agent", "test"],
  ["accept", "*/*"],
];

function outgoing(more: Partial<Outgoing> = {}): Outgoing {
  return {
    backend,
    url: "http://backend.test/path?q=1",
    method: "GET",
    fields: USUAL,
    payload: undefined,
    once: false,
    abort: new Abort(),
    ...more,
  };
}

/** Which of the two sends a request. */
async function sender(more: Partial<Outgoing> = {}): Promise<string> {
  const of = (name: string, full: boolean) => {
    const send = () => Promise.resolve(new Response(name));
    return { send, full: () => full } as unknown as FetchTransport;
  };
  const auto = new AutoTransport(
    of("fetch", more.backend !== undefined),
    of("sockets", false),
    needsSocket,
  );
  const answer = await auto.send(outgoing(more));
  assert.ok(answer instanceof Response);
  return await answer.text();
}

Deno.test("AutoTransport sends by fetch what Bun's fetch says as it is told", async () => {
  const body = new Uint8Array(3);
  for (
    const more of [
      {},
      { method: "HEAD" },
      { method: "PUT", whole: body },
      { method: "PUT", empty: true },
      { method: "DELETE", empty: true },
    ]
  ) assert.equal(await sender(more), "fetch", JSON.stringify(more));
});

Deno.test("AutoTransport sends over sockets what Bun's fetch would change, hold back or lose", async () => {
  const without = (name: string) => USUAL.filter(([known]) => known !== name);
  for (
    const more of [
      { fields: without("user-agent") },
      { fields: without("accept") },
      { url: "http://backend.test//two" },
      { url: "http://backend.test/it's" },
      { method: "FOO" },
      // A length of 0 would be added, or taken away.
      { method: "DELETE" },
      { method: "POST" },
      { method: "GET", empty: true },
      // It might be sent on a connection that is closed already.
      { method: "POST", whole: new Uint8Array(3), once: true },
      { backend: new Backend({ url: "http://full.test" }) },
    ]
  ) assert.equal(await sender(more), "sockets", JSON.stringify(more));
});

Deno.test("AutoTransport releases what both transports keep", () => {
  const released: string[] = [];
  const of = (name: string) =>
    ({
      close: () => released.push(`${name} closed`),
      forget: ({ name: backend }: Backend) =>
        released.push(`${name} forgets ${backend}`),
    }) as unknown as FetchTransport;
  const auto = new AutoTransport(of("fetch"), of("sockets"), needsSocket);
  auto.forget(backend);
  auto.close();
  assert.deepEqual(released, [
    `sockets forgets ${backend.name}`,
    "fetch closed",
    "sockets closed",
  ]);
});
