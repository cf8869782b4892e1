/**
 * Connects so many times a second for so many seconds and sends nothing: each
 * connection is held for a moment, then closed. A separate process, so that it
 * does not slow down the test. Prints the number of its connections.
 *
 * ```sh
 * deno run --allow-net e2e/starvation/knocking.ts PORT RATE SECONDS HOLD_MS
 * ```
 *
 * @module
 */

const [port, rate, seconds, holdMs] = Deno.args.map(Number) as [
  number,
  number,
  number,
  number,
];

let opened = 0;
let refused = 0;
const underWay = new Set<Promise<void>>();

async function knock(): Promise<void> {
  try {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port });
    opened++;
    await new Promise((resolve) => setTimeout(resolve, holdMs));
    conn.close();
  } catch {
    refused++;
  }
}

const start = performance.now();
for (let sent = 0; sent < rate * seconds;) {
  const due = Math.min(
    rate * seconds,
    Math.ceil((performance.now() - start) / 1_000 * rate),
  );
  for (; sent < due; sent++) {
    const knocking = knock().finally(() => underWay.delete(knocking));
    underWay.add(knocking);
  }
  await new Promise((resolve) => setTimeout(resolve, 1));
}
const took = (performance.now() - start) / 1_000;
await Promise.all(underWay);
console.log(JSON.stringify({ opened, refused, seconds: took }));
