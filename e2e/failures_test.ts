import assert from "node:assert/strict";
import { rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";

// Deno's message on a failed request contains its URL, and failures are
// classified by the message. "(Connect)" in a target was taken for a failed
// connection: the POST was sent to both backends.
forBoth("a target that reads like a failure makes no other of it", async (
  runtime,
) => {
  await using one = await rawBackend((conn) => conn.close());
  await using two = await rawBackend((conn) => conn.close());
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: `${one.url},${two.url}`, EJECT_AFTER: "off" },
  });
  const targets = [
    "/(Connect)",
    "/(Connect)certificate",
    "/x?(Connect)refused",
    "/BadResource",
    "/NotCapable",
  ];
  for (const [i, target] of targets.entries()) {
    const { status, headers } = await rawRequest(
      proxy.port,
      requestText("POST", target, { body: "once" }),
    );
    assert.equal(status, 502, target);
    const [, said] = headers.find(([name]) => /^proxy-status$/i.test(name))!;
    assert.match(said, /connection_terminated/, target);
    assert.equal(one.requests.length + two.requests.length, i + 1, target);
  }
});
