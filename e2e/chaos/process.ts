/**
 * Starts, kills and counts the backends of `backend.ts`.
 *
 * @module
 */

import { ended, opened } from "../harness/cleanup.ts";
import { deadPort } from "../harness/backend.ts";

const PROGRAM = new URL("backend.ts", import.meta.url);

/** A backend in its own process. */
export class BackendProcess implements AsyncDisposable {
  readonly label = "backend process";
  #child: Deno.ChildProcess | undefined;

  private constructor(
    readonly port: number,
    readonly path: string,
    readonly manner: string,
    readonly program: URL,
  ) {}

  /**
   * Starts one on a free port; its requests are recorded in `folder`. Another
   * program than `backend.ts` gets the same arguments, and prints a line once it
   * listens.
   */
  static async start(
    folder: string,
    manner = "",
    program = PROGRAM,
  ): Promise<BackendProcess> {
    const port = await deadPort();
    const path = `${folder}/${port}`;
    const backend = new BackendProcess(port, path, manner, program);
    opened(backend);
    await backend.start();
    return backend;
  }

  /** For `BACKENDS`. */
  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts it again; resolves when it listens. */
  async start(): Promise<void> {
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-prompt",
        "--allow-net=127.0.0.1",
        "--allow-read",
        "--allow-write",
        decodeURIComponent(this.program.pathname),
        String(this.port),
        this.path,
        this.manner,
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#child = child;
    const reader = child.stdout.getReader();
    await reader.read();
    await reader.cancel();
  }

  /** SIGKILL; resolves when it has ended. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#child = undefined;
    child.kill("SIGKILL");
    await child.status;
  }

  /** Makes its probe fail, or pass again. */
  async drain(draining: boolean): Promise<void> {
    const mark = `${this.path}.draining`;
    if (draining) await Deno.writeTextFile(mark, "");
    else await Deno.remove(mark).catch(() => {});
  }

  /** The requests that it received to their ends, as `METHOD id bytes`. */
  async received(): Promise<string[]> {
    const text = await Deno.readTextFile(this.path).catch(() => "");
    return text.split("\n").filter((line) => line !== "");
  }

  /** For `cleanup.ts`. */
  abandon(): Promise<void> {
    return this.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    ended(this);
    await this.kill();
  }
}

/** Backend processes, and the folder that they write to. */
export class Backends implements AsyncDisposable {
  private constructor(
    readonly folder: string,
    readonly all: readonly BackendProcess[],
  ) {}

  /** Starts so many; the options are for the first one. */
  static async start(count: number, manner?: string): Promise<Backends> {
    const folder = await Deno.makeTempDir();
    const all = await Promise.all(
      Array.from(
        { length: count },
        (_, i) => BackendProcess.start(folder, i === 0 ? manner : undefined),
      ),
    );
    return new Backends(folder, all);
  }

  /** For `BACKENDS`. */
  get urls(): string {
    return this.all.map(({ url }) => url).join(",");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.all.map((one) => one[Symbol.asyncDispose]()));
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** How often each id was received, of requests of one method. */
export async function deliveries(
  backends: readonly BackendProcess[],
  method: string,
): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const backend of backends) {
    for (const line of await backend.received()) {
      const [of, id] = line.split(" ");
      if (of === method) counts.set(id!, (counts.get(id!) ?? 0) + 1);
    }
  }
  return counts;
}

/** How many ids were received more than once. */
export function duplicates(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].filter((count) => count > 1).length;
}
