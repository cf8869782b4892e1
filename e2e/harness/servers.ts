/**
 * Independent servers and clients, as processes.
 *
 * @module
 */

import assert from "node:assert/strict";
import { inPath } from "../../testing/tools.ts";
import { ended, opened } from "./cleanup.ts";
import { rawRequest, requestText } from "./client.ts";
import { until, within } from "./wait.ts";

/** A folder that is removed at the end. */
export async function folder(): Promise<AsyncDisposable & { path: string }> {
  const path = await Deno.makeTempDir({ prefix: "sluice-" });
  return {
    path,
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

/** Some server's process. */
export class Server implements AsyncDisposable {
  readonly label: string;
  readonly #child: Deno.ChildProcess;

  constructor(program: string, args: string[], cwd: string) {
    this.label = program;
    this.#child = new Deno.Command(inPath(program)!, {
      args,
      cwd,
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    opened(this);
  }

  /** Ends it and waits for that. */
  async stop(signal: Deno.Signal): Promise<void> {
    ended(this);
    try {
      this.#child.kill(signal);
    } catch {
      // It has ended already.
    }
    await within(this.#child.status, 60_000, `the end of ${this.label}`);
  }

  abandon(): Promise<void> {
    // nginx passes SIGTERM on to its workers; SIGKILL would orphan them.
    return this.stop("SIGTERM");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.abandon();
  }
}

/** Waits until something answers on a port. */
export async function answers(port: number): Promise<void> {
  await until(async () => {
    try {
      return (await rawRequest(port, requestText("GET", "/"))).status > 0;
    } catch {
      return false;
    }
  }, { timeoutMs: 20_000, what: `an answer on port ${port}` });
}

/**
 * Starts nginx with one `server` block per port. Without `gzip_proxied` it does
 * not compress responses to requests with a `Via`.
 */
export async function nginx(
  work: string,
  ports: readonly number[],
  server: string,
): Promise<Server> {
  const name = `${work}/nginx-${crypto.randomUUID().slice(0, 8)}`;
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${work}/tmp;`).join("\n");
  await Deno.writeTextFile(
    `${name}.conf`,
    `${Deno.uid() === 0 ? "user root;" : ""}
    daemon off; worker_processes 1; pid ${name}.pid; error_log ${name}.log;
    events { worker_connections 256; }
    http {
      types { text/html html; text/css css; }
      access_log off; ${paths}
      gzip on; gzip_min_length 1; gzip_types text/css; gzip_proxied any;
      client_max_body_size 0;
      ${
      ports.map((port) => `server { listen 127.0.0.1:${port}; ${server} }`)
        .join("\n")
    }
    }`,
  );
  const process = new Server("nginx", ["-p", work, "-c", `${name}.conf`], work);
  for (const port of ports) await answers(port);
  return process;
}

/** Runs a line in a shell, which must succeed; returns its output. */
export async function shell(line: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("bash", {
    args: ["-c", `set -euo pipefail; ${line}`],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  assert.ok(success, `${line}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

/** What curl wrote to a file, and the response head. */
export async function curl(
  work: string,
  url: string,
  ...args: string[]
): Promise<{ head: string; body: Uint8Array }> {
  const file = `${work}/${crypto.randomUUID()}`;
  const { success, stderr } = await new Deno.Command("curl", {
    args: ["-fsS", "-D", `${file}.head`, "-o", file, ...args, url],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  assert.ok(success, `${url}: ${new TextDecoder().decode(stderr)}`);
  return {
    head: await Deno.readTextFile(`${file}.head`),
    body: await Deno.readFile(file),
  };
}

/** Whether this nginx supports PUT. */
export function takesUploads(): boolean {
  const program = inPath("nginx");
  if (program === undefined) return true; // skipped for another reason
  const { stderr } = new Deno.Command(program, { args: ["-V"] }).outputSync();
  return new TextDecoder().decode(stderr).includes("http_dav_module");
}
