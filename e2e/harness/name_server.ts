/**
 * The test's own name server: dnsmasq with one name, `pool.test`.
 *
 * @module
 */

import { inPath } from "../../testing/tools.ts";
import { ended, opened } from "./cleanup.ts";
import { until } from "./wait.ts";

/** Where it listens; by default on a free port of 127.0.0.1. */
export interface NameServerOptions {
  host?: string;
  port?: number;
}

/** A running name server. */
export class NameServer implements AsyncDisposable {
  readonly label = "dnsmasq";
  #child: Deno.ChildProcess | undefined;
  #lines = "";
  #reading: Promise<void> = Promise.resolve();

  private constructor(
    readonly host: string,
    readonly port: number,
    readonly folder: string,
  ) {}

  /** Starts one with these addresses. */
  static async start(...addresses: string[]): Promise<NameServer> {
    return await NameServer.at({}, ...addresses);
  }

  /** Starts one at a place of the test's choice. */
  static async at(
    { host = "127.0.0.1", port = freePort() }: NameServerOptions,
    ...addresses: string[]
  ): Promise<NameServer> {
    const folder = await Deno.makeTempDir();
    await Deno.writeTextFile(`${folder}/hosts`, hosts(addresses));
    await Deno.chmod(folder, 0o755);
    const server = new NameServer(host, port, folder);
    opened(server);
    await server.restart();
    return server;
  }

  /** Starts it again, where it was. */
  async restart(): Promise<void> {
    await this.kill();
    const child = new Deno.Command(inPath("dnsmasq")!, {
      args: [
        "--conf-file=/dev/null",
        "--keep-in-foreground",
        "--no-resolv",
        "--no-hosts",
        `--addn-hosts=${this.folder}/hosts`,
        `--listen-address=${this.host}`,
        "--bind-interfaces",
        `--port=${this.port}`,
        "--local-ttl=1",
        "--pid-file",
        "--log-facility=-",
        ...Deno.uid() === 0 ? ["--user=root"] : [],
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.#child = child;
    this.#lines = "";
    this.#reading = this.#read(child.stderr);
    await this.#told(/started/);
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const piece of stream) {
      this.#lines += decoder.decode(piece, { stream: true });
    }
  }

  /** Waits until it has printed another line. */
  async #told(pattern: RegExp): Promise<void> {
    await until(() => pattern.test(this.#lines), {
      what: () => `${pattern} from dnsmasq: ${this.#lines}`,
    });
  }

  /** Changes its answer. */
  async answer(...addresses: string[]): Promise<void> {
    await Deno.writeTextFile(`${this.folder}/hosts`, hosts(addresses));
    this.#lines = "";
    this.#child?.kill("SIGHUP");
    await this.#told(/read .*hosts/);
  }

  /** Ends the process: from now on the port is closed. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    try {
      child?.kill("SIGKILL");
    } catch {
      // It has exited.
    }
    await child?.status;
    await this.#reading;
  }

  /** For `cleanup.ts`. */
  async abandon(): Promise<void> {
    ended(this);
    await this.kill();
    await Deno.remove(this.folder, { recursive: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.abandon();
  }
}

/** Found by taking one and letting it go; UDP has the same number. */
function freePort(): number {
  const socket = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = socket.addr as Deno.NetAddr;
  socket.close();
  return port;
}

const hosts = (addresses: readonly string[]) =>
  addresses.map((address) => `${address} pool.test\n`).join("");
