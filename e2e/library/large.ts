/**
 * Requests made in code whose bodies have no declared length, by the size of
 * their first chunk.
 *
 * @module
 */

import { createProxy } from "../../mod.ts";

const proxy = createProxy({
  backends: [async (request) => {
    const bytes = new Uint8Array(await request.arrayBuffer());
    // The last byte distinguishes a missing beginning from a missing end.
    return new Response(`${bytes.length} ${bytes[0]} ${bytes.at(-1)}`);
  }],
  log: () => {},
});

for (const size of [1, 65_536, 524_224, 524_225, 5_000_000]) {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(new Uint8Array(size).fill(1));
      controller.enqueue(new Uint8Array(10).fill(2));
      controller.close();
    },
  });
  const init = { method: "POST", body, duplex: "half" };
  const answer = await proxy.fetch(
    new Request("http://sluice.test/", init as RequestInit),
    { clientAddress: "192.0.2.1" },
  );
  console.log(size, await answer.text());
}
await proxy.stop();
