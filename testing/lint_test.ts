import assert from "node:assert/strict";
import plugin from "./lint.ts";
import { isShipped } from "./shipped.ts";

/** The linter, as tests may call it; it is not among the stable types. */
const { lint } = Deno as unknown as {
  lint: {
    runPlugin(
      plugin: unknown,
      filename: string,
      source: string,
    ): { id: string; message: string }[];
  };
};

/** What the rules report for a text in this file. */
function found(path: string, source: string): string[] {
  const filename = new URL(`../${path}`, import.meta.url).pathname;
  return lint.runPlugin(plugin, filename, source).map(({ id, message }) =>
    `${id}: ${message}`
  );
}

/** A text with so many lines between its first and its last. */
function long(first: string, last: string, lines: number): string {
  return [first, ...Array(lines - 2).fill("//"), last].join("\n");
}

Deno.test("the lint rules find a function of over 60 lines, and no other", () => {
  const cases: [first: string, last: string][] = [
    ["function f() {", "}"],
    ["const f = () => {", "};"],
    ["class A { f() {", "} }"],
    ["const f = { a() {", "} };"],
    // Code in a string does not count.
    ["function f() { return `{{{(", "`; }"],
  ];
  for (const [first, last] of cases) {
    assert.deepEqual(found("proxy/a.ts", long(first, last, 60)), [], first);
    assert.deepEqual(
      found("proxy/a.ts", long(first, last, 61)),
      ["house/long-function: 61 lines in a function, over 60"],
      first,
    );
  }
});

Deno.test("the lint rules find a file of over 450 lines, if it is published", () => {
  const file = (lines: number) => long("const a = 1;", "const b = 2;\n", lines);
  assert.deepEqual(found("mod.ts", file(450)), []);
  assert.deepEqual(
    found("mod.ts", file(451)),
    ["house/long-file: 451 lines in a file, over 450"],
  );
  for (const path of ["mod_test.ts", "e2e/a.ts", "config/wrong_settings.ts"]) {
    assert.deepEqual(found(path, file(451)), [], path);
  }
});

Deno.test("isShipped() knows what deno.json publishes", () => {
  for (const path of ["mod.ts", "health.ts", "http/head.ts", "proxy/a/b.ts"]) {
    assert.equal(isShipped(path), true, path);
  }
  for (
    const path of ["README.md", "proxy/a_test.ts", "bench/run.ts", "other.ts"]
  ) assert.equal(isShipped(path), false, path);
});
