/**
 * A user's program with every hook set; the request's path selects what each
 * does. `e2e/hooks_test.ts` runs it.
 *
 * @module
 */

import process from "node:process";
import { createProxy, serve } from "../../mod.ts";

const { BACKENDS = "", RESUME, HANDLER, TIMEOUT_MS, DRAIN_MS } = process.env;

/** Twice each piece of a body. */
function doubled(): TransformStream<Uint8Array, Uint8Array> {
  return new TransformStream({
    transform(piece, controller) {
      controller.enqueue(piece);
      controller.enqueue(piece);
    },
  });
}

/** Waits until the reader cancels. */
function forEver(signal: AbortSignal): Promise<never> {
  console.log("hanging");
  return new Promise((_, reject) =>
    signal.addEventListener("abort", () => {
      console.log(`aborted: ${signal.reason?.message}`);
      reject(signal.reason);
    })
  );
}

const proxy = createProxy({
  backends: BACKENDS.split(","),
  health: false,
  timeoutMs: Number(TIMEOUT_MS ?? 1_000),
  maxBodyBytes: 10_000_000,
  resume: RESUME === "on",
  requestId: true,
  async onRequest(headers, { request, attempt, clientAddress, signal }) {
    const { pathname } = new URL(request.url);
    await Promise.resolve();
    headers.set("x-hook", `${attempt} ${clientAddress}`);
    headers.set("content-length", "3");
    headers.set("transfer-encoding", "chunked");
    headers.set("connection", "x-hook");
    if (pathname === "/host") headers.set("host", "tenant.example.com");
    if (pathname === "/ntlm") headers.set("authorization", "NTLM TlRMTVNTUAAB");
    if (pathname === "/denied") {
      return new Response("denied\n", { status: 403 });
    }
    if (pathname === "/request/throws") throw new Error("the hook's fault");
    if (pathname === "/request/hangs") return await forEver(signal);
    return undefined;
  },
  async onResponse(response, { request, signal }) {
    const { pathname } = new URL(request.url);
    response.headers.set("x-seen", String(response.status));
    switch (pathname) {
      case "/doubled":
        return new Response(response.body!.pipeThrough(doubled()), response);
      case "/replaced":
        return new Response("replaced\n", { status: 404 });
      case "/bare":
        return new Response(null, { status: 204 });
      case "/read":
        return new Response(`${(await response.text()).length}\n`);
      case "/response/throws":
        throw new Error("the hook's fault");
      case "/response/hangs":
        return await forEver(signal);
    }
    return undefined;
  },
  async onError({ status, type }, { request, requestId }) {
    await Promise.resolve();
    if (request.url.endsWith("/error/hangs")) {
      console.log("hanging");
      await new Promise(() => {});
    }
    return Response.json({ error: type, id: requestId ?? null }, { status });
  },
  onSettled: ({ target, status, bytes, attempts }) =>
    console.log(`settled ${target} ${status} ${bytes} ${attempts.length}`),
});
const server = serve(proxy, {
  host: "127.0.0.1",
  port: 0,
  admin: { port: 0 },
  drainTimeoutMs: Number(DRAIN_MS ?? 10_000),
  ...(HANDLER === undefined ? {} : {
    async fetch(request, connection) {
      await Promise.resolve();
      const { pathname } = new URL(request.url);
      if (pathname === "/handler/throws") {
        throw new Error("the handler's fault");
      }
      if (pathname === "/handler/nothing") return undefined as never;
      if (pathname === "/handler/own") return new Response("own\n");
      if (pathname === "/handler/remade") {
        const url = new URL("/remade", request.url);
        return await proxy.fetch(new Request(url, request), connection);
      }
      return await proxy.fetch(request, connection);
    },
  }),
});
console.error(`dashboard at ${server.adminUrl}/`);
console.error(`listening on ${server.url}`);
process.on("SIGTERM", () =>
  server.stop().then(() => {
    console.log("stopped");
    process.exit(0);
  }));
