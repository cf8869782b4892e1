import assert from "node:assert/strict";
import { edited, filesNamed, RECIPES } from "./recipes.ts";
import { denoPath, ROOT } from "./tools.ts";

/** What a proof needs. */
const PROOF_HEAD = `import assert from "node:assert/strict";
import { createProxy } from "./mod.ts";
import { usable } from "./testing/settings.ts";
`;

/** Copies what there is of a folder. */
async function copy(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isFile, isDirectory } of Deno.readDir(from)) {
    if (name.startsWith(".") || name === "node_modules" || name === "dist") {
      continue;
    }
    if (isFile) await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
    if (isDirectory) await copy(`${from}/${name}`, `${to}/${name}`);
  }
}

// "A setting: one row" was true of the table only; six more files needed it.
for (const { heading, edits, tests, proof } of RECIPES) {
  Deno.test(`CONTRIBUTING.md, "${heading}": the files that it names are enough`, async () => {
    const text = await Deno.readTextFile(`${ROOT}/CONTRIBUTING.md`);
    const files = new Set(edits.map(({ file }) => file));
    assert.deepEqual(
      new Set(filesNamed(text, heading)),
      new Set([...files].map((file) =>
        // The name of a new file is up to the reader.
        file === "balancer/newest.ts" ? "balancer/name.ts" : file
      )),
    );
    const folder = await Deno.makeTempDir({ prefix: "sluice-recipe-" });
    try {
      await copy(ROOT, folder);
      for (const edit of edits) {
        const path = `${folder}/${edit.file}`;
        const before = edit.before === "" ? "" : await Deno.readTextFile(path);
        await Deno.writeTextFile(path, edited(before, edit));
      }
      await Deno.writeTextFile(`${folder}/proof_test.ts`, PROOF_HEAD + proof);
      const { success, stdout, stderr } = await new Deno.Command(
        await denoPath(),
        {
          args: ["test", "--no-prompt", "proof_test.ts", "mod.ts", ...tests],
          cwd: folder,
          env: { NO_COLOR: "1" },
        },
      ).output();
      const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
      assert.ok(success, decode(stdout) + decode(stderr));
      assert.match(decode(stdout), /\d+ passed \| 0 failed/);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("edited() puts a text in front of a line that stands there once", () => {
  const edit = { file: "a.ts", before: "b", insert: "x\n" };
  assert.equal(edited("a\nb\nc", edit), "a\nx\nb\nc");
  assert.throws(() => edited("a\n", edit), /a\.ts has 0 lines "b/);
  assert.throws(() => edited("b\nb\n", edit), /has 2 lines/);
});

Deno.test("every file that CONTRIBUTING.md names is there", async () => {
  const text = await Deno.readTextFile(`${ROOT}/CONTRIBUTING.md`);
  const named = [...text.matchAll(/`((?:[\w-]+\/)*[\w-]+(?:\.ts|\/))`/g)];
  assert.ok(named.length > 40);
  for (const [, path = ""] of named) {
    if (path !== "balancer/name.ts") await Deno.stat(`${ROOT}/${path}`);
  }
});
