import assert from "node:assert/strict";
import { anchors, deadLinks, parts, relativeLinks } from "./documents.ts";

const TEXT = `# One \`two\`: three

See [there](b.md#x-1) and ![a picture](c.svg).

## X

\`\`\`sh ignore
# no heading, [no link](d.md)
\`\`\`

## X
`;

Deno.test("parts() splits a document into blocks, prose and headings", () => {
  const { blocks, prose, headings } = parts({ path: "a.md", text: TEXT });
  assert.deepEqual(blocks, [{
    path: "a.md",
    heading: "X",
    info: "sh ignore",
    text: "# no heading, [no link](d.md)\n",
  }]);
  assert.deepEqual(headings, ["One `two`: three", "X", "X"]);
  assert.ok(!prose.includes("no link"));
});

Deno.test("anchors() names headings as GitHub does", () => {
  assert.deepEqual([...anchors([
    "One `two`: three",
    "X",
    "X",
    "TLS, and [renewing](a.md) it",
    "Every core: `WORKERS`",
    "The client's address",
  ])], [
    "one-two-three",
    "x",
    "x-1",
    "tls-and-renewing-it",
    "every-core-workers",
    "the-clients-address",
  ]);
});

Deno.test("relativeLinks() leaves out links to the web", () => {
  assert.deepEqual(
    relativeLinks("[a](b.md) [c](https://d.test/) [e](#f) [g](mailto:h@i)"),
    ["b.md", "#f"],
  );
});

Deno.test("deadLinks() finds files and headings that are missing", () => {
  const all = [
    {
      path: "docs/a.md",
      text: "# A\n[1](b.md) [2](../c.md) [3](#a) [4](#b) [5](b.md#d)\n",
    },
    { path: "docs/b.md", text: "# B\n" },
  ];
  assert.deepEqual(deadLinks(all, (path) => path !== "c.md"), [
    "docs/a.md: ../c.md is not there",
    "docs/a.md: #b has no such heading",
    "docs/a.md: b.md#d has no such heading",
  ]);
});
