/**
 * A user's handler in front of a proxy, on a Unix domain socket and on a port,
 * by the runtime's own server. The path says what it does to the request first.
 *
 * @module
 */

import { createProxy } from "../../mod.ts";

/** What is used of Bun's global. */
interface BunGlobal {
  serve(options: Record<string, unknown>): {
    readonly port: number;
    stop(force: boolean): Promise<void>;
  };
}

const { Bun } = globalThis as unknown as { Bun?: BunGlobal };
const env = (name: string): string =>
  Bun === undefined
    ? Deno.env.get(name)!
    : (globalThis as unknown as { process: { env: Record<string, string> } })
      .process.env[name]!;

const proxy = createProxy({
  backends: env("BACKENDS").split(","),
  health: false,
  log: () => {},
});

function handle(request: Request, connection: unknown) {
  switch (new URL(request.url, "http://a.test").pathname) {
    // A request made here, with the connection details of another.
    case "/made":
      return proxy.fetch(new Request(request), connection);
    // The same, with the address.
    case "/told":
      return proxy.fetch(new Request(request), {
        clientAddress: "203.0.113.7",
      });
    // The same, where the address was not known any more.
    case "/unknown":
      return proxy.fetch(new Request(request), { clientAddress: null });
    default:
      return proxy.fetch(request, connection);
  }
}

const path = env("SOCKET");
let port: number;
if (Bun !== undefined) {
  Bun.serve({ unix: path, fetch: handle });
  port = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: handle }).port;
} else {
  const options = { path, onListen() {} };
  Deno.serve(options, handle);
  port = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    handle,
  ).addr.port;
}
console.log(`listening on http://127.0.0.1:${port}`);
