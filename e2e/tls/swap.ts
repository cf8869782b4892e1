/**
 * Certificates are replaced while clients keep connecting: each connection is
 * compared with what the log said when it began, and earlier connections must
 * not notice.
 *
 * ```sh
 * deno task tls:swaps         # 100 swaps at 200 connections a second, on both
 * deno task tls:swaps bun 2   # on one runtime, with WORKERS=2
 * ```
 *
 * @module
 */

import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import tls from "node:tls";
import { bunPath, ROOT } from "../../testing/tools.ts";
import { rawBackend, type RawConn } from "../harness/backend.ts";
import { RawConnection, requestText } from "../harness/client.ts";
import {
  type ProxyProcess,
  type Runtime,
  RUNTIMES,
  startProxy,
} from "../harness/proxy.ts";
import { delay, until, within } from "../harness/wait.ts";
import { ask, type Asked, grant } from "../websocket/raw.ts";
import { Authority, HERE } from "./certificates.ts";

/** How long and how hard. */
export interface SwapOptions {
  /** How many times the certificate is replaced. */
  swaps: number;
  /** New connections a second. */
  perSecond: number;
  /** Milliseconds between a swap's log line and the next swap. */
  pauseMs: number;
  /** @default {1} */
  workers?: number;
}

/** The result. */
export interface Swapped {
  connections: number;
  /** Why connections failed; empty if none has. */
  failures: string[];
  /** Connections with an older certificate than the log had said. */
  stale: number;
  /** Different certificates that were seen. */
  certificates: number;
  /** Requests on connections that were there before the first swap. */
  standing: number;
}

/** A folder as Kubernetes makes one of a secret: links to links. */
class SecretVolume {
  readonly cert: string;
  readonly key: string;
  #turn = 0;

  constructor(readonly folder: string) {
    this.cert = `${folder}/tls.crt`;
    this.key = `${folder}/tls.key`;
    for (const name of ["tls.crt", "tls.key"]) {
      Deno.symlinkSync(`..data/${name}`, `${folder}/${name}`);
    }
  }

  /** Replaces both files by turning one link. */
  put({ cert, key }: { cert: string; key: string }): void {
    const name = `..turn${this.#turn++}`;
    Deno.mkdirSync(`${this.folder}/${name}`);
    Deno.writeTextFileSync(`${this.folder}/${name}/tls.crt`, cert);
    Deno.writeTextFileSync(`${this.folder}/${name}/tls.key`, key);
    Deno.symlinkSync(name, `${this.folder}/..data_tmp`);
    Deno.renameSync(`${this.folder}/..data_tmp`, `${this.folder}/..data`);
  }
}

const TAKEN = /TLS_CERT read, used for new connections/;

/** Replaces certificates under load. */
export async function swapUnderLoad(
  runtime: Runtime,
  { swaps, perSecond, pauseMs, workers = 1 }: SwapOptions,
): Promise<Swapped> {
  await using ca = await Authority.make();
  const pairs = [];
  for (let i = 0; i <= swaps; i++) pairs.push(await ca.sign(HERE));
  await Deno.mkdir(`${ca.folder}/secret`);
  const volume = new SecretVolume(`${ca.folder}/secret`);
  volume.put(pairs[0]!);
  let stream: RawConn | undefined;
  const streamed = Promise.withResolvers<void>();
  await using backend = await rawBackend(async (conn, request) => {
    if (request.target === "/stream") {
      await conn.send(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
      );
      stream = conn;
      return await streamed.promise;
    }
    if (request.header("upgrade") === undefined) {
      return await conn.reply({ body: request.target });
    }
    const frames = await grant(conn, request);
    for (let i = 0; i < swaps; i++) await frames.text(await frames.shown());
    await conn.closed;
  });
  await using proxy = await startProxy(runtime, {
    env: {
      BACKENDS: backend.url,
      TLS_CERT: volume.cert,
      TLS_KEY: volume.key,
      WORKERS: String(workers),
    },
    permissions: ["--allow-read"],
  });
  await using standing = await Standing.open(proxy.port, ca.cert);
  await until(() => stream, { timeoutMs: 5_000, what: () => "the stream" });
  const load = await Connecting.start(proxy.port, perSecond, ca);
  const takenAt: number[] = [];
  let lines: string[] = [];
  try {
    for (let i = 1; i <= swaps; i++) {
      // It has connected before the swap, and shakes hands after it.
      const late = net.connect(proxy.port, "127.0.0.1");
      await once(late, "connect");
      volume.put(pairs[i]!);
      // Half of the changes are detected, the others are announced by SIGHUP.
      if (i % 2 === 0) proxy.signal("SIGHUP");
      await taken(proxy, i);
      takenAt.push(performance.timeOrigin + performance.now());
      await delay(pauseMs);
      const asking = Promise.all([
        shake(late, ca.cert),
        stream!.chunk(`${i};`).then(() => standing.ask()),
      ]);
      await within(asking, 15_000, `what stands, at certificate ${i}`);
    }
    await stream!.lastChunk();
    streamed.resolve();
    await within(standing.end(swaps), 15_000, "the end of what stands");
  } finally {
    lines = await load.stop();
  }
  return { ...judged(lines, takenAt), standing: standing.asked };
}

function taken(proxy: ProxyProcess, count: number): Promise<unknown> {
  return until(
    () => proxy.stderr.filter((line) => TAKEN.test(line))[count - 1],
    {
      timeoutMs: 20_000,
      what: () => `certificate ${count} to be taken; ${proxy.log}`,
    },
  );
}

/** Shakes hands on a connection, and leaves. */
async function shake(socket: net.Socket, ca: string): Promise<void> {
  const secure = tls.connect({ socket, ca, servername: "localhost" });
  await once(secure, "secureConnect");
  const closed = once(secure, "close");
  secure.destroy();
  await closed;
}

/** `connecting.ts` in its own process. */
class Connecting {
  readonly #child: Deno.ChildProcess;
  readonly #output: Promise<string>;

  constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#output = new Response(child.stdout).text();
  }

  static async start(
    port: number,
    perSecond: number,
    ca: Authority,
  ): Promise<Connecting> {
    return new Connecting(
      new Deno.Command(await bunPath(), {
        args: [
          `${ROOT}/e2e/tls/connecting.ts`,
          ...[String(port), String(perSecond), `${ca.folder}/ca.pem`],
        ],
        stdin: "piped",
        stdout: "piped",
        stderr: "inherit",
      }).spawn(),
    );
  }

  /** Ends it when all have an answer; a line for each. */
  async stop(): Promise<string[]> {
    await this.#child.stdin.close();
    const { code } = await this.#child.status;
    assert.equal(code, 0);
    return (await this.#output).trim().split("\n");
  }
}

/** What the clients saw, compared with the times in the log. */
function judged(lines: readonly string[], takenAt: readonly number[]) {
  const failures: string[] = [];
  const seen = new Set<number>();
  let stale = 0;
  for (const line of lines) {
    const [begun, shown] = line.split(" ").map(Number);
    if (Number.isNaN(shown)) {
      failures.push(line);
      continue;
    }
    seen.add(shown!);
    if (shown! < takenAt.filter((at) => at < begun!).length) stale++;
  }
  const certificates = seen.size;
  return { connections: lines.length, failures, stale, certificates };
}

/** Connections that are there before the first swap. */
class Standing implements AsyncDisposable {
  asked = 0;

  private constructor(
    /** Has sent a request: Bun allows 12 s for the first, and then 255 s. */
    readonly idle: RawConnection,
    readonly busy: RawConnection,
    readonly streaming: RawConnection,
    readonly webSocket: Asked,
  ) {}

  static async open(port: number, ca: string): Promise<Standing> {
    const options = { tls: { ca, servername: "localhost" } };
    const connect = () => RawConnection.connect(port, options);
    const standing = new Standing(
      await connect(),
      await connect(),
      await connect(),
      await ask(port, "/", [], options),
    );
    await standing.idle.request(requestText("GET", "/early"));
    await standing.streaming.write(requestText("GET", "/stream"));
    return standing;
  }

  /** Sends requests on those that are not idle. */
  async ask(): Promise<void> {
    this.asked++;
    const { frames } = this.webSocket;
    await frames.text(`hello ${this.asked}`);
    assert.equal(await frames.shown(), `text text hello ${this.asked}`);
    const answer = await this.busy.request(requestText("GET", "/standing"));
    assert.equal(answer.text, "/standing");
  }

  /** Ends what has waited until now. */
  async end(swaps: number): Promise<void> {
    const answer = await this.idle.request(requestText("GET", "/late"));
    assert.equal(answer.text, "/late");
    const { text } = await this.streaming.readResponse();
    assert.equal(
      text,
      Array.from({ length: swaps }, (_, i) => `${i + 1};`).join(""),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.webSocket[Symbol.asyncDispose]();
    for (const one of [this.busy, this.idle, this.streaming]) await one.close();
  }
}

/**
 * Connections that Linux has refused on this machine, as nothing had accepted
 * those before them: where there are any, the machine was too busy for this.
 */
function overflows(): number {
  const [names, values] = Deno.readTextFileSync("/proc/net/netstat")
    .split("\n").map((line) => line.split(" "));
  return Number(values![names!.indexOf("ListenOverflows")]);
}

if (import.meta.main) {
  const words = Deno.args;
  const asked = RUNTIMES.filter((runtime) => words.includes(runtime));
  const workers = Number(words.find((word) => /^\d+$/.test(word)) ?? 1);
  for (const runtime of asked.length > 0 ? asked : RUNTIMES) {
    const [started, before] = [performance.now(), overflows()];
    const { failures, ...figures } = await swapUnderLoad(runtime, {
      swaps: 100,
      perSecond: 200,
      pauseMs: 200,
      workers,
    });
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    const overflowed = overflows() - before;
    const failed = failures.length;
    console.log(runtime, { ...figures, failed, overflowed, seconds });
    for (const failure of failures.slice(0, 10)) console.log(" ", failure);
  }
}
