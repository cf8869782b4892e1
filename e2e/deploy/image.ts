/**
 * Builds a Dockerfile without Docker: its files in a folder that serves as the
 * root, and its commands run there as the user that it names.
 *
 * @module
 */

import assert from "node:assert/strict";
import { bunPath, denoPath, inPath, ROOT } from "../../testing/tools.ts";
import { ProxyProcess, type Runtime } from "../harness/proxy.ts";

const FOLDER = `${ROOT}/examples/deploy`;

/** The contents of a Dockerfile. */
export interface Recipe {
  env: Record<string, string>;
  user: string;
  workdir: string;
  /** The command that builds the bundle. */
  run: string[];
  entrypoint: string[];
  healthcheck: string[];
}

/** The name of a runtime's Dockerfile. */
export function fileOf(runtime: Runtime): string {
  return `${FOLDER}/Dockerfile${runtime === "bun" ? ".bun" : ""}`;
}

/** Reads the instructions that these Dockerfiles use. */
export function recipeOf(runtime: Runtime): Recipe {
  const lines = Deno.readTextFileSync(fileOf(runtime))
    .replace(/^#.*\n/gm, "").replace(/\\\n/g, " ").split("\n");
  const last = (word: string) =>
    lines.findLast((line) => line.startsWith(`${word} `))
      ?.slice(word.length + 1).trim() ?? "";
  const list = (text: string): string[] =>
    JSON.parse(text.slice(text.indexOf("[")));
  return {
    env: Object.fromEntries(
      last("ENV").split(/\s+/).map((pair) =>
        pair.split("=") as [string, string]
      ),
    ),
    user: last("USER"),
    workdir: lines.slice(lines.findLastIndex((line) => line.startsWith("FROM")))
      .find((line) => line.startsWith("WORKDIR "))?.slice(8) ?? "/",
    run: list(last("RUN")),
    entrypoint: list(last("ENTRYPOINT")),
    healthcheck: list(last("HEALTHCHECK")),
  };
}

/** The files of an image, and its commands. */
export class Image implements AsyncDisposable {
  private constructor(
    readonly runtime: Runtime,
    readonly recipe: Recipe,
    /** The folder that serves as `/`. */
    readonly root: string,
  ) {}

  /** Makes the files as the Dockerfile does. */
  static async make(runtime: Runtime): Promise<Image> {
    const recipe = recipeOf(runtime);
    const root = await Deno.makeTempDir({ prefix: "sluice-image-" });
    const image = new Image(runtime, recipe, root);
    for (const folder of ["usr/local/bin", "app", "etc/sluice", "tmp"]) {
      await Deno.mkdir(`${root}/${folder}`, { recursive: true });
    }
    await Deno.chmod(root, 0o755);
    await Deno.chmod(`${root}/tmp`, 0o777);
    const program = runtime === "bun" ? await bunPath() : await denoPath();
    const binary = `${root}/usr/local/bin/${runtime}`;
    await Deno.copyFile(await Deno.realPath(program), binary);
    await Deno.chmod(binary, 0o755);
    const [name, ...args] = recipe.run;
    assert.equal(name, runtime);
    const { success, stderr } = await new Deno.Command(program, {
      args: args.map((arg) => image.inside(arg)),
      cwd: ROOT,
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    await Deno.copyFile(
      `${FOLDER}/healthcheck.js`,
      `${root}/app/healthcheck.js`,
    );
    return image;
  }

  /** A text with the image's paths, as they are here. */
  inside(text: string): string {
    return text.replace(
      /(?<![^=,])\/(?:usr|app|etc|tmp)(?=\/|$|,)/g,
      (path) => `${this.root}${path}`,
    );
  }

  /** Starts the proxy as the image does, with further variables. */
  async start(env: Record<string, string>): Promise<ProxyProcess> {
    const child = this.#command(this.recipe.entrypoint, env).spawn();
    const proxy = new ProxyProcess(this.runtime, child);
    try {
      const [, port] = await proxy.waitForLine(
        /listening on \S+:(\d+) /,
        20_000,
      );
      proxy.port = Number(port);
      return proxy;
    } catch (error) {
      await proxy.abandon();
      throw error;
    }
  }

  /** Runs the health check; its exit code. */
  async health(env: Record<string, string>): Promise<number> {
    const command = this.#command(this.recipe.healthcheck, env);
    return (await command.output()).code;
  }

  #command(
    words: readonly string[],
    env: Record<string, string>,
  ): Deno.Command {
    const given = words.map((word) => this.inside(word));
    const [uid, gid] = this.recipe.user.split(":");
    // Any user may run it; only root can be another than itself.
    const as = Deno.uid() !== 0 ? [] : [
      inPath("setpriv")!,
      `--reuid=${uid}`,
      `--regid=${gid}`,
      "--clear-groups",
      "--no-new-privs",
      "--bounding-set=-all",
    ];
    const [program, ...args] = [...as, ...given];
    const clean = { PATH: "/usr/bin", ...this.recipe.env, ...env };
    return new Deno.Command(program!, {
      args,
      cwd: this.inside(this.recipe.workdir),
      clearEnv: true,
      env: Object.fromEntries(
        Object.entries(clean).map(([name, text]) => [name, this.inside(text)]),
      ),
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.root, { recursive: true });
  }
}
