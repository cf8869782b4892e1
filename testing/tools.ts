/**
 * The programs that tests need, at the versions they were written for.
 *
 * A runtime that happens to be installed may have another version, with other
 * behaviour on the wire; a test failure would then mean nothing. So each is
 * used from where it is if the version is exactly right, and otherwise
 * installed from npm into `.tools/`. `locks/` has the hash of each package and
 * of all its dependencies, so that the registry cannot deliver another.
 *
 * @module
 */

/** The versions this project is developed against. */
export const VERSIONS = { deno: "2.9.6", bun: "1.4.5" } as const;

/** The checkout's root folder, without a slash at the end. */
export const ROOT: string = decodeURIComponent(
  new URL("..", import.meta.url).pathname,
).replace(/\/$/, "");

const TOOLS = `${ROOT}/.tools`;
const LOCKS = `${ROOT}/testing/locks`;
const INSTALL_MS = 5 * 60_000;

/** An npm package under `.tools/`. */
export interface NpmTool {
  /** Its `node_modules` folder, the packages it depends on included. */
  modules: string;
  /** The path of an installed command; by default the package's own name. */
  bin(command?: string): string;
}

const installing = new Map<string, Promise<NpmTool>>();

/**
 * Installs an npm package once, also if several processes ask at the same time.
 * Its install scripts do not run: some versions of npm refuse them, others run
 * them, and a test must find the same files either way.
 *
 * @throws {Error} If npm fails; its output is in the message.
 */
export function npmTool(name: string, version: string): Promise<NpmTool> {
  const key = `${name}@${version}`;
  let tool = installing.get(key);
  if (tool === undefined) installing.set(key, tool = install(name, version));
  return tool;
}

async function install(name: string, version: string): Promise<NpmTool> {
  const folder = `${TOOLS}/${name.replaceAll("/", "+")}-${version}`;
  const modules = `${folder}/node_modules`;
  const tool: NpmTool = {
    modules,
    bin: (command = name.split("/").at(-1)!) => `${modules}/.bin/${command}`,
  };
  if (await exists(folder)) return tool;
  await Deno.mkdir(TOOLS, { recursive: true });
  await using _lock = await lock(`${folder}.lock`);
  if (await exists(folder)) return tool;
  // Installed aside and renamed, so that the folder is whole or not there.
  const aside = `${folder}.${Deno.pid}`;
  await Deno.remove(aside, { recursive: true }).catch(ignoreMissing);
  await Deno.mkdir(aside);
  try {
    const lock = `${LOCKS}/${name.replaceAll("/", "+")}-${version}.json`;
    await npmInstall(aside, name, version, await textOf(lock));
    await Deno.rename(aside, folder);
  } finally {
    await Deno.remove(aside, { recursive: true }).catch(ignoreMissing);
  }
  return tool;
}

/**
 * Installs a package into a folder: with a lock (the text of an npm
 * `package-lock.json`) exactly the packages and hashes in it, otherwise those
 * of the registry.
 *
 * @throws {Error} If npm fails; its output is in the message.
 */
export async function npmInstall(
  folder: string,
  name: string,
  version: string,
  lock: string | undefined,
): Promise<void> {
  const spec = `${name}@${version}`;
  // Without its own package.json npm would search the parent folders.
  const dependencies = lock === undefined ? {} : { [name]: version };
  await Deno.writeTextFile(
    `${folder}/package.json`,
    JSON.stringify({ private: true, dependencies }),
  );
  if (lock !== undefined) {
    await Deno.writeTextFile(`${folder}/package-lock.json`, lock);
  }
  const how = lock === undefined
    ? ["install", spec, "--no-package-lock"]
    : ["ci"];
  const { code, stdout, stderr } = await new Deno.Command("npm", {
    args: [
      ...how,
      "--prefix",
      folder,
      "--ignore-scripts",
      "--no-audit",
      "--no-fund",
      "--no-update-notifier",
      "--loglevel=error",
    ],
    cwd: folder,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(INSTALL_MS),
  }).output();
  if (code === 0) return;
  const decoder = new TextDecoder();
  throw new Error(
    `Cannot install "${spec}": npm ended with ${code}\n${
      decoder.decode(stderr)
    }${decoder.decode(stdout)}`,
  );
}

/**
 * Holds a lock between processes. `mkdir` is atomic; a folder whose owner was
 * killed is recognised by its age.
 */
async function lock(folder: string): Promise<AsyncDisposable> {
  const deadline = Date.now() + 2 * INSTALL_MS;
  while (true) {
    try {
      await Deno.mkdir(folder);
      return {
        [Symbol.asyncDispose]: () =>
          Deno.remove(folder).catch(ignoreMissing).then(() => {}),
      };
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
    if (Date.now() > deadline) {
      throw new Error(`Cannot install: "${folder}" is held; remove it`);
    }
    const { mtime } = await Deno.stat(folder).catch(() => ({ mtime: null }));
    if (mtime !== null && Date.now() - mtime.getTime() > INSTALL_MS + 10_000) {
      // A rename, not a removal: only one waiter can do it, so none removes the
      // lock that another has just taken.
      const stale = `${folder}.${Deno.pid}`;
      await Deno.rename(folder, stale).catch(ignoreMissing);
      await Deno.remove(stale).catch(ignoreMissing);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

/** A file's text; `undefined` if there is none. */
async function textOf(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    ignoreMissing(error);
    return undefined;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** What `program --version` prints first; undefined when it cannot be run. */
async function versionOf(program: string): Promise<string | undefined> {
  try {
    const { success, stdout } = await new Deno.Command(program, {
      args: ["--version"],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).output();
    if (!success) return undefined;
    return /\d+\.\d+\.\d+\S*/.exec(new TextDecoder().decode(stdout))?.[0];
  } catch {
    return undefined; // not there, not executable, for another processor or libc
  }
}

/**
 * The file among `files` below `modules` that runs on this machine and reports
 * `version`. npm picks the package for the platform by fields that versions of
 * npm read differently, so each file is tried.
 */
async function firstThatRuns(
  modules: string,
  scope: string,
  files: readonly string[],
  version: string,
): Promise<string> {
  const folders: string[] = [];
  for await (const entry of Deno.readDir(`${modules}/${scope}`)) {
    if (entry.isDirectory) folders.push(entry.name);
  }
  // "bun-linux-x64" before "bun-linux-x64-baseline" before "…-musl".
  folders.sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
  const tried: string[] = [];
  for (const folder of folders) {
    for (const file of files) {
      const path = `${modules}/${scope}/${folder}/${file}`;
      if (!(await exists(path))) continue;
      // Some npm versions drop the mode of files that are no `bin`.
      await Deno.chmod(path, 0o755).catch(() => {});
      if (await versionOf(path) === version) return path;
      tried.push(path);
    }
  }
  throw new Error(
    `Cannot find a program ${version} in "${modules}/${scope}": tried ${
      tried.join(", ") || "nothing, npm installed none for this platform"
    }`,
  );
}

let deno: Promise<string> | undefined;
let bun: Promise<string> | undefined;

/** The path of Deno, exactly the pinned version. */
export function denoPath(): Promise<string> {
  return deno ??= (async () => {
    if (Deno.version.deno === VERSIONS.deno) return Deno.execPath();
    const { modules } = await npmTool("deno", VERSIONS.deno);
    return await firstThatRuns(modules, "@deno", ["deno"], VERSIONS.deno);
  })();
}

/** The path of Bun, exactly the pinned version. */
export function bunPath(): Promise<string> {
  return bun ??= (async () => {
    if (await versionOf("bun") === VERSIONS.bun) return inPath("bun")!;
    const { modules } = await npmTool("bun", VERSIONS.bun);
    return await firstThatRuns(modules, "@oven", ["bin/bun"], VERSIONS.bun);
  })();
}

/**
 * The path of a system program; `undefined` if it is not installed. Searches
 * the `sbin` folders too, which are not in every user's PATH.
 */
export function inPath(program: string): string | undefined {
  const folders = (Deno.env.get("PATH") ?? "").split(":");
  for (const folder of [...folders, "/usr/sbin", "/usr/local/sbin", "/sbin"]) {
    if (folder === "") continue;
    try {
      const path = `${folder}/${program}`;
      const { isFile, mode } = Deno.statSync(path);
      if (isFile && ((mode ?? 0) & 0o111) !== 0) return path;
    } catch {
      // not in this folder
    }
  }
  return undefined;
}
