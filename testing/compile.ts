/**
 * `deno task compile`: one executable with Bun inside, `dist/sluice`.
 *
 * `deno compile` would fetch a runtime of its own, from a host that not every
 * network reaches; Bun has all that it needs.
 *
 * @module
 */

import { bundleProgram } from "./bundle.ts";
import { bunPath, ROOT } from "./tools.ts";

/** Writes the executable. */
export async function compile(outfile: string): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "sluice-compile-" });
  try {
    await bundleProgram(folder);
    const { success, stderr } = await new Deno.Command(await bunPath(), {
      args: [
        "build",
        "--compile",
        `--outfile=${outfile}`,
        `${folder}/sluice.js`,
      ],
      cwd: folder,
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).output();
    if (!success) {
      throw new Error(`Cannot compile: ${new TextDecoder().decode(stderr)}`);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) {
  await Deno.mkdir(`${ROOT}/dist`, { recursive: true });
  await compile(`${ROOT}/dist/sluice`);
  const { size } = await Deno.stat(`${ROOT}/dist/sluice`);
  console.log(`dist/sluice: ${Math.ceil(size / 1024 / 1024)} MB`);
}
