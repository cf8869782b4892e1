import assert from "node:assert/strict";
import { bunPath, denoPath, inPath, ROOT, VERSIONS } from "./tools.ts";

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
