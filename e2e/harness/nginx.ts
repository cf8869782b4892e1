/**
 * nginx as a backend, in its own folder, which is removed with it.
 *
 * ```ts ignore
 * await using nginx = await startNginx("location / { return 204; }");
 * await using proxy = await startProxy(runtime, { env: { BACKENDS: nginx.url } });
 * ```
 *
 * @module
 */

import { inPath } from "../../testing/tools.ts";
import { deadPort } from "./backend.ts";
import { ended, opened } from "./cleanup.ts";
import { rawRequest, requestText } from "./client.ts";
import { until, within } from "./wait.ts";

/** A running nginx. */
export class Nginx implements AsyncDisposable {
  readonly label = "nginx";
  /** For `BACKENDS`. */
  readonly url: string;
  readonly #child: Deno.ChildProcess;

  constructor(
    /** Its folder; files in its `www` are served. */
    readonly folder: string,
    readonly port: number,
  ) {
    this.url = `http://127.0.0.1:${port}`;
    this.#child = new Deno.Command(inPath("nginx")!, {
      args: ["-p", folder, "-c", `${folder}/nginx.conf`],
      cwd: folder,
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    opened(this);
  }

  /** Ends it, and removes its folder. */
  async stop(): Promise<void> {
    ended(this);
    try {
      // It passes SIGTERM on to its workers; SIGKILL would orphan them.
      this.#child.kill("SIGTERM");
    } catch {
      // It has ended already.
    }
    await within(this.#child.status, 10_000, "the end of nginx");
    await Deno.remove(this.folder, { recursive: true });
  }

  /** For `cleanup.ts`. */
  abandon(): Promise<void> {
    return this.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/** Starts nginx with what belongs into its one `server` block. */
export async function startNginx(server: string): Promise<Nginx> {
  const folder = await Deno.makeTempDir({ prefix: "sluice-nginx-" });
  await Deno.mkdir(`${folder}/www`);
  const port = await deadPort();
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${folder}/tmp;`).join("\n");
  await Deno.writeTextFile(
    `${folder}/nginx.conf`,
    `${Deno.uid() === 0 ? "user root;" : ""}
    daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/log;
    events { worker_connections 256; }
    http {
      types { text/html html; text/css css; image/gif gif; }
      access_log off; ${paths}
      server { listen 127.0.0.1:${port}; root ${folder}/www; ${server} }
    }`,
  );
  const nginx = new Nginx(folder, port);
  await until(
    async () => {
      try {
        return (await rawRequest(port, requestText("GET", "/"))).status > 0;
      } catch {
        return false;
      }
    },
    { timeoutMs: 20_000, what: `an answer of nginx on port ${port}` },
  );
  return nginx;
}
