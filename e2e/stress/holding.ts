/**
 * Clients that send one request and wait, each on its own connection: a
 * separate program next to the measured traffic.
 *
 * ```sh
 * deno run --allow-net e2e/stress/holding.ts PORT COUNT PATH SECONDS
 * ```
 *
 * @module
 */

const [port, count, path, seconds] = Deno.args;
const request = new TextEncoder().encode(
  `GET ${path} HTTP/1.1\r\nHost: sluice.test\r\n\r\n`,
);
const conns: Deno.TcpConn[] = [];
for (let i = 0; i < Number(count); i++) {
  const conn = await Deno.connect({
    hostname: "127.0.0.1",
    port: Number(port),
  });
  conns.push(conn);
  await conn.write(request);
}
const end = performance.now() + 1_000 * Number(seconds);
await new Promise((resolve) => setTimeout(resolve, end - performance.now()));
for (const conn of conns) conn.close();
console.log(JSON.stringify({ connections: conns.length }));
