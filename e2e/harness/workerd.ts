/**
 * Cloudflare's runtime, as its own program, with a worker that is a proxy.
 *
 * @module
 */

import { bundleProgram } from "../../testing/bundle.ts";
import { npmTool, ROOT } from "../../testing/tools.ts";
import { ended, opened } from "./cleanup.ts";
import { until, within } from "./wait.ts";

const VERSION = "1.20261117.1";

/** A running workerd. */
export class Workerd implements AsyncDisposable {
  readonly label: string;
  /** The port that it listens on. */
  port = 0;
  /** What it and its worker have said. */
  log = "";
  readonly #child: Deno.ChildProcess;
  readonly #done: Promise<unknown>;

  constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.label = `workerd ${child.pid}`;
    this.#done = Promise.all([
      this.#read(child.stdout),
      this.#read(child.stderr),
      child.status,
    ]).then(() => ended(this));
    opened(this);
  }

  /** Waits for a line that matches. */
  async waitForLine(pattern: RegExp, timeoutMs = 10_000): Promise<void> {
    await until(() => pattern.test(this.log), {
      timeoutMs,
      what: () => `${pattern} from ${this.label}:\n${this.log}`,
    });
  }

  async abandon(): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await within(this.#done, 10_000, `the end of ${this.label}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abandon();
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of stream) {
      this.log += decoder.decode(bytes, { stream: true });
    }
  }
}

let folder: Promise<string> | undefined;

/** The workers and the bundle, laid out as the example has them. */
function built(): Promise<string> {
  return folder ??= (async () => {
    const made = await Deno.makeTempDir({ prefix: "sluice-workerd-" });
    globalThis.addEventListener(
      "unload",
      () => Deno.removeSync(made, { recursive: true }),
    );
    await bundleProgram(`${made}/dist`);
    await Deno.mkdir(`${made}/examples/workerd`, { recursive: true });
    for (const file of ["config.capnp", "worker.js"]) {
      const path = `examples/workerd/${file}`;
      await Deno.copyFile(`${ROOT}/${path}`, `${made}/${path}`);
    }
    // The same configuration with another worker and its options.
    const config = await Deno.readTextFile(
      `${ROOT}/examples/workerd/config.capnp`,
    );
    await Deno.writeTextFile(
      `${made}/examples/workerd/options.capnp`,
      config.replace('embed "worker.js"', 'embed "options.js"')
        .replaceAll("BACKENDS", "OPTIONS"),
    );
    await Deno.copyFile(
      `${ROOT}/e2e/workerd/worker.js`,
      `${made}/examples/workerd/options.js`,
    );
    return made;
  })();
}

/** Starts the example, or the worker of the tests, and waits until it listens. */
export async function startWorkerd(
  env: { BACKENDS: string } | { OPTIONS: string },
): Promise<Workerd> {
  const { modules } = await npmTool("workerd", VERSION);
  const config = "BACKENDS" in env ? "config.capnp" : "options.capnp";
  const program = [...Deno.readDirSync(`${modules}/@cloudflare`)].map((
    { name },
  ) => `${modules}/@cloudflare/${name}/bin/workerd`)[0]!;
  const child = new Deno.Command(program, {
    args: [
      "serve",
      `${await built()}/examples/workerd/${config}`,
      "--socket-addr=http=127.0.0.1:0",
      "--control-fd=1",
    ],
    clearEnv: true,
    env: { PATH: Deno.env.get("PATH") ?? "", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const workerd = new Workerd(child);
  const listening = /"event":"listen","socket":"http","port":(\d+)/;
  await workerd.waitForLine(listening, 30_000);
  workerd.port = Number(listening.exec(workerd.log)![1]);
  return workerd;
}
