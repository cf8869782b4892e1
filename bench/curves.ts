// How does the cost of a request grow: with connections, backends, header
// fields, body size, next to slow streams, and with idle connections?
//
//   deno task bench:curves [--only=connections,backends,fields,bodies,streams,idle]
//
// Each point is the median of several short turns, for the five-liner and
// Sluice on both runtimes. A full run takes fourteen minutes and is saved as
// CURVES.md; TRIED.md explains the shapes.

import {
  type Contender,
  fiveLiner,
  flag,
  interleaved,
  load,
  median,
  option,
  Page,
  ratio,
  rssMB,
  type Running,
  RUNTIMES,
  shown,
  sluice,
  startAll,
  startBackends,
  type Turn,
  where,
} from "./harness.ts";

const only = option("only")?.split(",");
const TURNS = Number(option("turns") ?? 4);
const MB = 1024 ** 2;

const page = new Page();

function contenders(backends: readonly string[]): Contender[] {
  return RUNTIMES.flatMap((runtime) => [
    fiveLiner(runtime, backends),
    sluice(runtime, backends),
  ]);
}

/** A row: requests a second and its ratio, processor time, memory. */
function rowOf(
  label: string,
  { name, against }: Contender,
  seen: ReadonlyMap<string, Turn[]>,
): string[] {
  const all = seen.get(name)!;
  const base = against === undefined ? undefined : seen.get(against);
  const pick = (key: keyof Turn) => median(all.map((turn) => turn[key]));
  return [
    label,
    name,
    shown(pick("rps"), 0),
    base === undefined ? "" : shown(ratio(all, base, "rps").middle),
    shown(pick("cpu"), 1),
    shown(pick("p99"), 1),
    shown(pick("rssMB"), 0),
    String(all.reduce((sum, { errors }) => sum + errors, 0)),
  ];
}

const HEAD = [
  "",
  "",
  "requests/s",
  "of its five-liner",
  "CPU µs/request",
  "p99 ms",
  "MB",
  "errors",
];

async function measured(
  running: ReadonlyMap<Contender, Running>,
  label: string,
  asked: Parameters<typeof interleaved>[1],
  { turns = TURNS, seconds = 1 } = {},
): Promise<string[][]> {
  const seen = await interleaved(running, asked, {
    turns,
    seconds,
    warmUp: 2,
  });
  return [...running.keys()].map((one) => rowOf(label, one, seen));
}

async function connections(): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const { urls } = stack.use(await startBackends());
  const running = await startAll(contenders(urls), stack);
  const rows: string[][] = [];
  for (const count of [1, 64, 512, 4096]) {
    rows.push(
      ...await measured(
        running,
        String(count),
        { path: "/small", connections: count },
        count > 1000 ? { turns: 2, seconds: 8 } : {},
      ),
    );
  }
  page.print("### By connections");
  // In a turn of 3 s with 4,096 connections, the kernel counted as many new
  // connections to the backends as from the clients, and the five-liner on Deno
  // fell to a tenth of its rate, as did Sluice.
  page.print(
    "\nEach turn begins with new connections, and so many requests at once " +
      "need as many to the backends: with 4,096 a good part of a turn is " +
      "connecting, on either side, with the five-liner too.",
  );
  page.table(["connections", ...HEAD.slice(1)], rows);
}

async function backends(): Promise<void> {
  const rows: string[][] = [];
  for (const count of [2, 10, 100, 1000]) {
    await using stack = new AsyncDisposableStack();
    const { urls } = stack.use(await startBackends(count));
    const running = await startAll(contenders(urls), stack);
    rows.push(...await measured(running, String(count), { path: "/small" }));
  }
  page.print("### By backends");
  page.table(["backends", ...HEAD.slice(1)], rows);
}

async function fields(): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const { urls } = stack.use(await startBackends());
  const running = await startAll(contenders(urls), stack);
  const rows: string[][] = [];
  for (const count of [5, 30, 90]) {
    // Deno accepts 100 fields in a request, including ours.
    const lines = Array.from(
      { length: count },
      (_, i) => `wrk.headers["x-field-${i}"]="the value of number ${i}"`,
    );
    rows.push(
      ...await measured(running, String(count), {
        path: "/small",
        script: lines.join("\n"),
      }),
    );
  }
  page.print("### By header fields of the request");
  page.table(["fields", ...HEAD.slice(1)], rows);
}

/** Highest memory while something is done. */
async function peakOf(pid: number, done: Promise<unknown>): Promise<number> {
  let peak = 0;
  const look = () => {
    const status = Deno.readTextFileSync(`/proc/${pid}/status`);
    peak = Math.max(peak, Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024);
  };
  const timer = setInterval(look, 20);
  try {
    await done;
    look();
  } finally {
    clearInterval(timer);
  }
  return peak;
}

/** Reads a body of so many bytes from a socket and responds. */
async function sink(conn: Deno.Conn): Promise<void> {
  const piece = new Uint8Array(256 * 1024);
  try {
    for (;;) {
      let head = "";
      let left = Infinity;
      while (left > 0) {
        const read = await conn.read(piece);
        if (read === null) return;
        if (left !== Infinity) {
          left -= read;
          continue;
        }
        head += new TextDecoder("latin1").decode(piece.subarray(0, read));
        const end = head.indexOf("\r\n\r\n");
        if (end < 0) continue;
        const length = /content-length: (\d+)/i.exec(head)?.[1] ?? "0";
        left = Number(length) - (head.length - end - 4);
      }
      await conn.write(
        new TextEncoder().encode(
          "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
      );
    }
  } catch {
    // The proxy has closed it.
  } finally {
    conn.close();
  }
}

async function sinkServer(): Promise<AsyncDisposable & { url: string }> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  (async () => {
    for await (const conn of listener) sink(conn);
  })();
  await Promise.resolve();
  return {
    url: `http://127.0.0.1:${listener.addr.port}`,
    [Symbol.asyncDispose]() {
      listener.close();
      return Promise.resolve();
    },
  };
}

async function curl(...args: string[]): Promise<number> {
  const began = performance.now();
  const { success } = await new Deno.Command("curl", {
    // A question whether it may would be passed on by the five-liner.
    args: ["-sf", "-H", "Expect:", "-o", "/dev/null", ...args],
    stdin: "null",
  }).output();
  if (!success) throw new Error(`curl ${args.join(" ")} failed`);
  return (performance.now() - began) / 1000;
}

async function bodies(): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const { urls } = stack.use(await startBackends());
  const running = await startAll(contenders(urls), stack);
  const rows: string[][] = [];
  for (
    const [label, path] of [["0 B", "/0"], ["1 KB", "/1k"], ["64 KB", "/64k"], [
      "1 MB",
      "/1m",
    ], ["16 MB", "/16m"]] as const
  ) {
    // Fewer connections where a request takes a tenth of a second.
    const few = label === "16 MB" ? { connections: 8 } : {};
    rows.push(...await measured(running, label, { path, ...few }));
  }
  page.print("### By the answer's body");
  page.table(["body", ...HEAD.slice(1)], rows);

  const uploads = stack.use(await sinkServer());
  const up = await startAll([
    ...contenders([uploads.url]),
    // What Sluice does with an upload on Deno, and nothing else.
    fiveLiner("deno", [uploads.url], { reads: true }),
  ], stack);
  const sent: string[][] = [];
  for (
    const [label, bytes] of [
      ["0 B", 0],
      ["1 KB", 1024],
      ["64 KB", 64 * 1024],
      ["1 MB", MB],
      ["16 MB", 16 * MB],
    ] as const
  ) {
    sent.push(
      ...await measured(up, label, {
        path: "/up",
        script: `wrk.method="PUT"\nwrk.body=string.rep("x",${bytes})\n`,
        ...(label === "16 MB" ? { connections: 8 } : {}),
      }),
    );
  }
  page.print("### By the request's body");
  page.print(
    "\nThe backend reads them off its sockets in the measuring process, so these figures are for each other only.",
  );
  page.table(["body", ...HEAD.slice(1)], sent);

  const folder = await Deno.makeTempDir({ prefix: "sluice-bench-" });
  const file = await Deno.create(`${folder}/body`);
  await file.truncate(1024 * MB);
  file.close();
  const large: string[][] = [];
  for (const [one, { port, pid }] of running) {
    let seconds = 0;
    const at = `http://127.0.0.1:${port}/1g`;
    const peak = await peakOf(pid, curl(at).then((s) => seconds = s));
    const [, to] = [...up].find(([{ name }]) => name === one.name)!;
    // The five-liner on Bun refuses it: the default of `Bun.serve` is 128 MB.
    let upload = NaN;
    const most = await peakOf(
      to.pid,
      curl("-T", `${folder}/body`, `http://127.0.0.1:${to.port}/up`)
        .then((s) => upload = s, () => {}),
    );
    large.push([
      one.name,
      shown(1024 / seconds, 0),
      shown(peak, 0),
      shown(1024 / upload, 0),
      shown(most, 0),
    ]);
  }
  await Deno.remove(folder, { recursive: true });
  page.print("### One body of 1 GB");
  page.print("\nThe five-liner on Bun takes no upload over 128 MB.");
  page.table(
    ["", "down, MB/s", "peak MB", "up, MB/s", "peak MB"],
    large,
  );
}

/** Streams of a few bytes a second, kept open through a proxy. */
async function slowStreams(
  port: number,
  count: number,
  stack: AsyncDisposableStack,
): Promise<void> {
  const request = new TextEncoder().encode(
    "GET /slow HTTP/1.1\r\nHost: sluice.test\r\n\r\n",
  );
  await Promise.all(Array.from({ length: count }, async () => {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port });
    stack.defer(() => conn.close());
    await conn.write(request);
    const piece = new Uint8Array(4096);
    await conn.read(piece);
    (async () => {
      try {
        while (await conn.read(piece) !== null);
      } catch {
        // Closed at the end.
      }
    })();
  }));
}

async function streams(): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const dripping = new Set<ReadableStreamDefaultController<Uint8Array>>();
  const drip = new TextEncoder().encode("data: x\n\n");
  const timer = setInterval(() => {
    for (const one of dripping) one.enqueue(drip);
  }, 1000);
  stack.defer(() => clearInterval(timer));
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) => {
      if (!request.url.endsWith("/slow")) return new Response("Hello, world!");
      let own: ReadableStreamDefaultController<Uint8Array>;
      return new Response(
        new ReadableStream({
          start(controller) {
            dripping.add(own = controller);
            controller.enqueue(drip);
          },
          cancel: () => void dripping.delete(own),
        }),
        { headers: { "content-type": "text/event-stream" } },
      );
    },
  );
  stack.defer(() => server.shutdown());
  const url = `http://127.0.0.1:${server.addr.port}`;
  const rows: string[][] = [];
  for (const count of [0, 1000]) {
    await using own = new AsyncDisposableStack();
    const running = await startAll(
      contenders([url])
        .filter(({ name }) => name !== "five-liner, bun" || count === 0),
      own,
    );
    for (const one of running.values()) {
      await slowStreams(one.port, count, own);
    }
    const asked = { path: "/small" };
    rows.push(
      ...await measured(running, String(count), asked),
    );
  }
  page.print("### Beside slow streams");
  page.print(
    "\nA Deno server in the measuring process plays the backend here, so these figures are for each other only. The five-liner on Bun has no row with 1,000: its `fetch` makes 256 requests at once.",
  );
  page.table(["streams", ...HEAD.slice(1)], rows);
}

/** A backend that answers after 300 ms, so that load needs many connections. */
function slowServer(): AsyncDisposable & { url: string; open: Set<Deno.Conn> } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.Conn>();
  const answer = new TextEncoder().encode(
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
  );
  const serve = async (conn: Deno.Conn) => {
    open.add(conn);
    const piece = new Uint8Array(4096);
    try {
      // Each request of this load comes in one piece.
      while (await conn.read(piece) !== null) {
        setTimeout(() => conn.write(answer).catch(() => {}), 300);
      }
    } catch {
      // The proxy has closed it.
    } finally {
      open.delete(conn);
      conn.close();
    }
  };
  (async () => {
    for await (const conn of listener) serve(conn);
  })();
  return {
    url: `http://127.0.0.1:${listener.addr.port}`,
    open,
    [Symbol.asyncDispose]() {
      listener.close();
      return Promise.resolve();
    },
  };
}

async function idle(): Promise<void> {
  const rows: string[][] = [];
  for (const index of contenders([]).keys()) {
    await using stack = new AsyncDisposableStack();
    const backend = stack.use(slowServer());
    const own = contenders([backend.url])[index]!;
    const [running] = (await startAll([own], stack)).values();
    const before = rssMB(running!.pid);
    await load(running!, { path: "/small", connections: 1000 }, 3);
    rows.push([
      own.name,
      String(backend.open.size),
      shown(before, 0),
      shown(rssMB(running!.pid), 0),
    ]);
  }
  page.print("### With idle connections to a backend");
  page.print(
    "\nAfter 3 s of 1,000 requests at once to a backend that takes 300 ms. " +
      "The five-liner on Bun makes 256 requests at once.",
  );
  page.table(["", "idle connections", "MB at the start", "MB then"], rows);
}

page.print(
  `${where()}; ${TURNS} turns of 1 s a point, 2 of 8 s with 4,096 connections; 64 connections where no other number stands, 8 for 16 MB.`,
);
page.print();
for (
  const [name, curve] of Object.entries({
    connections,
    backends,
    fields,
    bodies,
    streams,
    idle,
  })
) {
  if (only === undefined || only.includes(name)) await curve();
}
if (only === undefined || flag("keep")) {
  await page.keep("CURVES.md", "The last full run of `deno task bench:curves`");
}
