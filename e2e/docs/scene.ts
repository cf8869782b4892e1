/**
 * The environment for the documents' commands: the runtimes in PATH, an empty
 * folder, and free ports in place of those in the documents.
 *
 * A command runs unchanged except for its addresses, the folder of `mod.ts`,
 * and on Bun the name of the runtime, which the recipes tell readers to
 * replace.
 *
 * @module
 */

import assert from "node:assert/strict";
import { bunPath, denoPath, ROOT } from "../../testing/tools.ts";
import type { Block } from "../../testing/documents.ts";
import { deadPort } from "../harness/backend.ts";
import { ProxyProcess, type Runtime, transport } from "../harness/proxy.ts";

/** Ports that the documents name. */
const NAMED = ["8080", "8443", "9090"] as const;

/** A place for the commands of a document to run in. */
export class Scene implements AsyncDisposable {
  /** Where the commands run. */
  readonly folder: string;
  readonly #runtime: Runtime;
  readonly #ports: ReadonlyMap<string, number>;
  readonly #backends: ReadonlyMap<string, string>;

  private constructor(
    runtime: Runtime,
    folder: string,
    ports: ReadonlyMap<string, number>,
    backends: ReadonlyMap<string, string>,
  ) {
    this.#runtime = runtime;
    this.folder = folder;
    this.#ports = ports;
    this.#backends = backends;
  }

  /**
   * Makes a scene. `backends` replace the documents' addresses, in their order:
   * `127.0.0.1:3000` or `10.0.0.5:3000`, and so on.
   */
  static async make(
    runtime: Runtime,
    backends: readonly string[] = [],
  ): Promise<Scene> {
    const folder = await Deno.makeTempDir({ prefix: "sluice-docs-" });
    await Deno.mkdir(`${folder}/.bin`);
    await Deno.symlink(await denoPath(), `${folder}/.bin/deno`);
    await Deno.symlink(await bunPath(), `${folder}/.bin/bun`);
    const ports = new Map<string, number>();
    for (const port of NAMED) ports.set(port, await deadPort());
    const addresses = new Map(backends.flatMap((authority, i) => [
      [`127.0.0.1:${3000 + i}`, authority],
      [`10.0.0.${5 + i}:3000`, authority],
    ]));
    return new Scene(runtime, folder, ports, addresses);
  }

  /** The free port that replaces one of the documents' ports. */
  port(named: (typeof NAMED)[number]): number {
    return this.#ports.get(named)!;
  }

  /** The command of a block as it is run here. */
  text(block: Block): string {
    // In one pass: what is put in may read like another of the addresses.
    let text = block.text.trim().replace(
      /(\b(?:\d+\.){3}\d+:|localhost:|PORT=)(\d+)\b/g,
      (named, before, port) => {
        const backend = this.#backends.get(named);
        if (backend !== undefined) return backend;
        const own = /^(127\.0\.0\.1:|localhost:|PORT=)$/.test(before)
          ? this.#ports.get(port)
          : undefined;
        return own === undefined ? named : `${before}${own}`;
      },
    );
    text = text.replaceAll(" mod.ts", ` ${ROOT}/mod.ts`);
    return this.#runtime === "bun"
      ? text.replace(/\bdeno run --allow-net --allow-env(?: --\S+)*/, "bun run")
      : text;
  }

  #command(script: string, env: Record<string, string>): Deno.Command {
    const { PATH = "", HOME = "" } = Deno.env.toObject();
    return new Deno.Command("bash", {
      args: ["-euo", "pipefail", "-c", script],
      cwd: this.folder,
      clearEnv: true,
      env: {
        PATH: `${this.folder}/.bin:${PATH}`,
        HOME,
        TRANSPORT: transport(this.#runtime) ?? "",
        NO_COLOR: "1",
        PORT: String(this.port("8080")),
        HOST: "127.0.0.1",
        // A failed backend is noticed soon.
        HEALTH_INTERVAL: "200ms",
        HEALTH_TIMEOUT: "150ms",
        ...env,
      },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    });
  }

  /** Runs a block to its end; fails if it does. Returns its output. */
  async run(block: Block, env: Record<string, string> = {}): Promise<string> {
    const script = this.text(block);
    const { success, stdout, stderr } = await this.#command(script, env)
      .output();
    const decoder = new TextDecoder();
    assert.ok(success, `${script}\n${decoder.decode(stderr)}`);
    return decoder.decode(stdout);
  }

  /** Starts the proxy by a block of one command, and waits until it listens. */
  async start(
    block: Block,
    env: Record<string, string> = {},
  ): Promise<ProxyProcess> {
    const text = this.text(block);
    // One process, so that signals reach it.
    const script = /(?:^|\s)exec /.test(text) ? text : `exec env ${text}`;
    const child = this.#command(script, env).spawn();
    const proxy = new ProxyProcess(this.#runtime, child);
    try {
      const [, url, port] = await proxy.waitForLine(
        /listening on (https?:\/\/\S+?:(\d+))/,
        20_000,
      );
      proxy.url = url!;
      proxy.port = Number(port);
      return proxy;
    } catch (error) {
      await proxy.abandon();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}
