/**
 * `deno task bundle`: writes `dist/sluice.js`, one file for Deno, Bun and
 * import by URL, and its type declarations.
 *
 * @module
 */

import config from "../deno.json" with { type: "json" };
import { declarations } from "./declarations.ts";
import { denoPath, ROOT } from "./tools.ts";

/** Most bytes of the file, as it is and with gzip. */
export const BUDGET = { bytes: 800 * 1024, gzipped: 220 * 1024 } as const;

/** The first lines of the bundle; the second is for Deno. */
const HEAD =
  `// Sluice ${config.version}, ${config.license} licence. Built by \`deno task bundle\`.
// @ts-self-types="./sluice.d.ts"
`;

/** The sizes of a file. */
export interface Size {
  bytes: number;
  gzipped: number;
}

/** Writes `sluice.js` and `sluice.d.ts` into a folder. */
export async function bundle(folder: string): Promise<void> {
  await bundleProgram(folder);
  await Deno.writeTextFile(
    `${folder}/sluice.d.ts`,
    await declarations("mod.ts"),
  );
}

/** Writes `sluice.js` alone into a folder. */
export async function bundleProgram(folder: string): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const file = `${folder}/sluice.js`;
  // Written to another name and renamed, so that a program that starts
  // meanwhile never reads a partial file.
  const aside = `${folder}/sluice.${Deno.pid}.js`;
  const { success, stderr } = await new Deno.Command(await denoPath(), {
    args: ["bundle", "--quiet", "-o", aside, "mod.ts"],
    cwd: ROOT,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!success) {
    throw new Error(`Cannot bundle: ${new TextDecoder().decode(stderr)}`);
  }
  await Deno.writeTextFile(aside, HEAD + await Deno.readTextFile(aside));
  await Deno.rename(aside, file);
}

/** How large a file is. */
export async function sizeOf(file: string): Promise<Size> {
  const bytes = await Deno.readFile(file);
  const packed = await new Response(
    new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip")),
  ).bytes();
  return { bytes: bytes.byteLength, gzipped: packed.byteLength };
}

if (import.meta.main) {
  await bundle(`${ROOT}/dist`);
  const { bytes, gzipped } = await sizeOf(`${ROOT}/dist/sluice.js`);
  const kb = (n: number) => `${Math.ceil(n / 1024)} KB`;
  console.log(
    `dist/sluice.js: ${kb(bytes)}, ${kb(gzipped)} with gzip ` +
      `(at most ${kb(BUDGET.bytes)}, ${kb(BUDGET.gzipped)})\ndist/sluice.d.ts`,
  );
  if (bytes > BUDGET.bytes || gzipped > BUDGET.gzipped) Deno.exit(1);
}
