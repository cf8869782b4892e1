/**
 * A program with workers that also passes requests to its own proxy, before the
 * workers have started and afterwards. Prints the result of each step as JSON.
 *
 * @module
 */

import process from "node:process";
import { createProxy, serve } from "../../mod.ts";

if (import.meta.main) {
  const { BACKEND = "" } = process.env;
  const proxy = createProxy({
    backends: [{ url: BACKEND, maxConns: 2 }],
    health: false,
    maxInFlight: 4,
  });
  const [backend] = proxy.pool;
  const here = async (path: string) => {
    const response = await proxy.fetch(new Request(`http://first.test${path}`));
    await response.text();
    return response.status;
  };
  /** Waits until so many are in flight at the backend. */
  const reached = async (count: number) => {
    for (;;) {
      const response = await fetch(`${BACKEND}/count`);
      if (Number(await response.text()) >= count) return;
    }
  };
  const said: Record<string, unknown> = {};
  const early = here("/held");
  await reached(1);
  const server = serve(proxy, { port: 0, host: "127.0.0.1", workers: 2 });
  await server.ready;
  const there = async (path: string) => {
    const response = await fetch(server.url + path);
    await response.text();
    return response.status;
  };
  said.here = await here("/a");
  said.there = await there("/a");
  const second = here("/held");
  await reached(2);
  // Two are in flight, the maximum of the backend, from all processes.
  said.fullHere = await here("/a");
  said.fullThere = [await there("/a"), await there("/a"), await there("/a")];
  said.inFlight = backend!.inFlight;
  await (await fetch(`${BACKEND}/release`)).text();
  said.held = [await early, await second];
  said.after = [await here("/a"), await there("/a")];
  // A worker no longer counts a request once its response has been read here.
  while (backend!.inFlight > 0) await new Promise((r) => setTimeout(r, 10));
  said.left = backend!.inFlight;
  said.requests = backend!.requests;
  try {
    proxy.pool.add(() => new Response());
  } catch (error) {
    said.refused = String(error);
  }
  said.metrics = /^sluice_requests_in_flight (\d+)$/m.exec(proxy.metrics())![1];
  await server.stop();
  said.stopped = await here("/a");
  console.log(JSON.stringify(said));
  process.exit(0);
}
