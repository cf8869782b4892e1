import assert from "node:assert/strict";
import { deadLinks, documents, parts } from "./documents.ts";
import { rewritten, sectionOf, SECTIONS } from "./readme.ts";
import { ROOT } from "./tools.ts";

/** Text as it reads: `deno fmt` breaks the lines of prose where it likes. */
const flat = (text: string) => text.replace(/\s+/g, " ").trim();

for (const section of SECTIONS) {
  Deno.test(`${section.path}: "${section.name}" is what the code says`, async () => {
    const text = await Deno.readTextFile(`${ROOT}/${section.path}`);
    assert.equal(
      flat(sectionOf(text, section)),
      flat(section.make()),
      "run: deno run -A testing/readme.ts",
    );
    assert.equal(flat(rewritten(text, section)), flat(text));
  });
}

Deno.test("rewritten() leaves alone what is outside, and misses no section", () => {
  const text = "a\n<!-- made -->\nold\n<!-- /made -->\nb\n";
  const section = { path: "a.md", name: "made", make: () => "new\n" };
  assert.equal(
    rewritten(text, section),
    "a\n<!-- made -->\n\nnew\n\n<!-- /made -->\nb\n",
  );
  assert.throws(
    () => rewritten("nothing", section),
    /Cannot find the section "made" in a\.md/,
  );
});

Deno.test("each link of the documents leads somewhere", () => {
  const exists = (path: string) => {
    try {
      Deno.statSync(`${ROOT}/${path}`);
      return true;
    } catch {
      return false;
    }
  };
  assert.deepEqual(deadLinks(documents(), exists), []);
});

Deno.test("the README is short, and each page of docs is linked from it", () => {
  const all = documents();
  const readme = all.find(({ path }) => path === "README.md")!;
  assert.ok(readme.text.split("\n").length <= 480);
  for (const { path } of all) {
    if (!path.startsWith("docs/")) continue;
    assert.ok(parts(readme).prose.includes(`](${path})`), path);
  }
});
