import assert from "node:assert/strict";
import { denoPath, ROOT } from "./tools.ts";

/** A symbol of `deno doc --json`, as far as it is used. */
interface Doc {
  name: string;
  declarations?: { kind: string; jsDoc?: { doc?: string } }[];
  kind?: string;
  jsDoc?: { doc?: string };
}

/** What mod.ts exports, as `deno doc` sees it. */
async function documented(): Promise<Doc[]> {
  const { stdout } = await new Deno.Command(await denoPath(), {
    args: ["doc", "--json", "mod.ts"],
    cwd: ROOT,
  }).output();
  const json = JSON.parse(new TextDecoder().decode(stdout));
  const nodes: Record<string, { symbols: Doc[] }> = json.nodes;
  return Object.values(nodes).flatMap(({ symbols }) => symbols);
}

// `Proxy` was both a global of the language and a type of ours.
Deno.test("no export of mod.ts has the name of a global", async () => {
  const docs = await documented();
  assert.ok(docs.length > 10);
  for (const { name } of docs) {
    assert.equal(name in globalThis, false, name);
  }
});

Deno.test("each export of mod.ts stands there once and has a comment", async () => {
  const docs = await documented();
  const names = docs.map(({ name }) => name);
  assert.deepEqual(names, [...new Set(names)]);
  for (const doc of docs) {
    const text = doc.declarations?.[0]?.jsDoc?.doc ?? doc.jsDoc?.doc ?? "";
    assert.ok(text.length > 20, `${doc.name}: "${text}"`);
  }
});
