import assert from "node:assert/strict";
import { A, settings } from "../testing/settings.ts";
import { type Config } from "./config.ts";
import { unreadable } from "./foreign.ts";

// Deno obeys them whatever its permissions are: a guard that may not read them
// let every request be diverted.
Deno.test("readSettings() warns of relevant variables that it may not read", () => {
  const warned = (backends: string, readable: readonly string[]) => {
    const { warnings } = settings({ BACKENDS: backends }, [], {}, {
      mayRead: (name) => readable.includes(name),
    }) as Extract<Config, { warnings: unknown }>;
    return warnings.map((line) => line.replace(/: may not be read, .*$/, ""));
  };
  const http = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
  const https = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
  const address = "DENO_SERVE_ADDRESS";
  const tls = "NODE_TLS_REJECT_UNAUTHORIZED";
  assert.deepEqual(warned(A, [...http, address]), []);
  assert.deepEqual(warned(A, []), [`${http.join(", ")}, ${address}`]);
  assert.deepEqual(warned(A, [address, "HTTP_PROXY"]), [
    "http_proxy, ALL_PROXY, all_proxy",
  ]);
  assert.deepEqual(warned("https://a.test", [...https, address]), [tls]);
  assert.deepEqual(warned("unix:/a.sock", [address]), []);
});

// Answers over TLS were compressed where it was set and could not be read.
Deno.test("unreadable() names the variable that would compress answers over TLS", () => {
  const name = "DENO_SERVE_AUTOMATIC_COMPRESSION";
  const of = (secure: boolean, may: boolean) =>
    unreadable([A], secure, (asked) => asked !== name || may);
  assert.deepEqual(of(true, false), [name]);
  assert.deepEqual(of(true, true), []);
  assert.deepEqual(of(false, false), []);
});

Deno.test("readSettings() refuses variables that change the runtime's behaviour", () => {
  const one = (env: Record<string, string>, onDeno = true) => {
    const config = settings({ BACKENDS: A, ...env }, [], {}, { onDeno });
    return config.kind === "faults" ? config.faults : [];
  };
  assert.match(
    one({ DENO_SERVE_ADDRESS: "tcp:0.0.0.0:81" }).join(),
    /^DENO_SERVE_ADDRESS: would override HOST and PORT: unset it$/,
  );
  assert.deepEqual(one({ DENO_SERVE_ADDRESS: "" }), []);
  assert.deepEqual(one({ DENO_SERVE_ADDRESS: "tcp:0.0.0.0:81" }, false), []);
  const off = { NODE_TLS_REJECT_UNAUTHORIZED: "0" };
  assert.deepEqual(one(off), []);
  for (const onDeno of [true, false]) {
    assert.match(
      one({ ...off, BACKENDS: "https://a.test" }, onDeno).join(),
      /^NODE_TLS_REJECT_UNAUTHORIZED: would accept any certificate/,
    );
  }
  const on = { BACKENDS: "https://a.test", NODE_TLS_REJECT_UNAUTHORIZED: "1" };
  assert.deepEqual(one(on), []);
});
