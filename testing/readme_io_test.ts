import assert from "node:assert/strict";
import { rewritten, sectionOf, SECTIONS } from "./readme.ts";
import { ROOT } from "./tools.ts";

/** Text as it reads: `deno fmt` breaks the lines of prose where it likes. */
const flat = (text: string) => text.replace(/\s+/g, " ").trim();

const readme = await Deno.readTextFile(`${ROOT}/README.md`);

for (const [name, make] of Object.entries(SECTIONS)) {
  Deno.test(`the README's ${name} are what the code says`, () => {
    assert.equal(
      flat(sectionOf(readme, name)),
      flat(make()),
      "run: deno run -A testing/readme.ts",
    );
  });
}

Deno.test("rewritten() changes nothing that is right", () => {
  assert.equal(flat(rewritten(readme)), flat(readme));
});

Deno.test("rewritten() leaves alone what is outside, and misses no section", () => {
  const text = "a\n<!-- settings -->\nold\n<!-- /settings -->\nb\n" +
    "<!-- limits -->\n<!-- /limits -->\nc\n";
  const made = rewritten(text);
  assert.ok(made.startsWith("a\n<!-- settings -->\n\n| Variable"));
  assert.ok(made.includes("|\n\n<!-- /settings -->\nb\n<!-- limits -->\n"));
  assert.ok(made.endsWith("\n\n<!-- /limits -->\nc\n"));
  assert.throws(() => rewritten("nothing"), /Cannot find the section/);
});

Deno.test("what the documents link to is there", async () => {
  for (
    const name of [
      "README.md",
      "CONTRIBUTING.md",
      "CHANGELOG.md",
      "SECURITY.md",
    ]
  ) {
    const text = await Deno.readTextFile(`${ROOT}/${name}`);
    for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
      await Deno.stat(`${ROOT}/${target}`);
    }
  }
});
