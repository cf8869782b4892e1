import assert from "node:assert/strict";
import {
  bunPath,
  denoPath,
  inPath,
  npmInstall,
  ROOT,
  VERSIONS,
} from "./tools.ts";

async function version(program: string): Promise<string> {
  const { stdout } = await new Deno.Command(program, { args: ["--version"] })
    .output();
  return /\d+\.\d+\.\d+\S*/.exec(new TextDecoder().decode(stdout))?.[0] ?? "";
}

Deno.test("denoPath() and bunPath() give the pinned versions", async () => {
  assert.equal(await version(await denoPath()), VERSIONS.deno);
  assert.equal(await version(await bunPath()), VERSIONS.bun);
});

Deno.test("inPath() finds what is there", () => {
  assert.match(inPath("sh") ?? "", /\/sh$/);
  assert.equal(inPath("no-such-program"), undefined);
});

Deno.test("ROOT is the folder of deno.json", async () => {
  const text = await Deno.readTextFile(`${ROOT}/deno.json`);
  assert.equal(JSON.parse(text).name, "@sluice/edge");
});

Deno.test("each runtime is pinned with its hash", async () => {
  for (const [name, version] of Object.entries(VERSIONS)) {
    const { packages } = JSON.parse(
      await Deno.readTextFile(`${ROOT}/testing/locks/${name}-${version}.json`),
    );
    assert.equal(packages[""].dependencies[name], version);
    for (const [path, one] of Object.entries(packages)) {
      if (path === "") continue;
      assert.match((one as { integrity: string }).integrity, /^sha512-/, path);
    }
  }
});

Deno.test("npmInstall() installs what the lock hashes, and nothing else", async () => {
  const lock = await Deno.readTextFile(`${ROOT}/testing/locks/ws-8.21.0.json`);
  const folder = await Deno.makeTempDir();
  try {
    await npmInstall(folder, "ws", "8.21.0", lock);
    await Deno.stat(`${folder}/node_modules/ws/package.json`);
    const other = lock.replace(/sha512-...../, "sha512-AAAAA");
    await Deno.remove(folder, { recursive: true });
    await Deno.mkdir(folder);
    await assert.rejects(
      npmInstall(folder, "ws", "8.21.0", other),
      /EINTEGRITY/,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
