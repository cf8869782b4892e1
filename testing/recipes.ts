/**
 * The recipes of CONTRIBUTING.md, carried out: each as edits, which insert text
 * before an existing line, and as the tests that must pass afterwards.
 *
 * @module
 */

/** Text that goes in front of a line, or, with an empty line, a new file. */
export interface Edit {
  readonly file: string;
  /** The beginning of a line that occurs once. */
  readonly before: string;
  readonly insert: string;
}

/** A recipe, followed. */
export interface Recipe {
  /** Its heading in CONTRIBUTING.md. */
  readonly heading: string;
  readonly edits: readonly Edit[];
  /** Tests that are there and must still pass. */
  readonly tests: readonly string[];
  /** A test of what was added. */
  readonly proof: string;
}

export const RECIPES: readonly Recipe[] = [
  {
    heading: "Add a policy",
    edits: [
      {
        file: "balancer/newest.ts",
        before: "",
        insert: `/** Newest: the last backend of the pool that may be picked.
 *
 * @module
 */

import type { Policy } from "./policies.ts";

/** Picks the last backend that is accepted. */
export function newest(): Policy {
  return (backends, accepts) => backends.findLast(accepts);
}
`,
      },
      {
        file: "balancer/policies.ts",
        before: "import ",
        insert: 'import { newest } from "./newest.ts";\n',
      },
      {
        file: "balancer/policies.ts",
        before: "  round_robin: roundRobin,",
        insert: "  newest,\n",
      },
      {
        file: "config/grammar.ts",
        before: '  "round_robin",',
        insert: '  "newest",\n',
      },
    ],
    tests: ["balancer/", "config/grammar_test.ts", "config/settings_test.ts"],
    proof: `
Deno.test("POLICY=newest picks the last backend", async () => {
  const { proxy: options } = usable({ BACKENDS: "http://a,http://b", POLICY: "newest" });
  await using proxy = createProxy({
    ...options, health: false,
    fetch: (url) => Promise.resolve(new Response(String(url))),
  });
  const answer = await proxy.fetch(new Request("http://x/"));
  assert.equal(await answer.text(), "http://b/");
});
`,
  },
  {
    heading: "Add a setting",
    edits: [
      {
        file: "config/setting_values.ts",
        before: "  MAX_MESSAGE: number;",
        insert: "  MAX_TARGET: number;\n",
      },
      {
        file: "config/settings.ts",
        before: "  MAX_MESSAGE: {",
        insert: `  MAX_TARGET: {
    grammar: size("1B", "64KB"),
    default: "8KB",
    field: "proxy.maxTargetBytes",
    help: "Size of a request's target; a longer one is answered with 413",
  },
`,
      },
      {
        file: "config/options.ts",
        before: "  readonly maxMessageBytes?:",
        insert: `  readonly maxTargetBytes?: number | undefined;
  /**
   * Bytes of a WebSocket message, 1 KB to 64 MB.
   *
   * @default {16_777_216}
   */
`,
      },
      {
        file: "config/config_test.ts",
        before: '    MAX_MESSAGE: ["1MB"',
        insert: '    MAX_TARGET: ["1KB", 1_024],\n',
      },
      {
        file: "program/checked.ts",
        before: "  maxMessageBytes: number;",
        insert: "  maxTargetBytes: number;\n",
      },
      {
        file: "program/checked.ts",
        before: "    maxMessageBytes: checkedOption(",
        insert:
          '    maxTargetBytes: checkedOption("MAX_TARGET", options.maxTargetBytes),\n',
      },
      {
        file: "proxy/context.ts",
        before: "  maxMessageBytes: number;",
        insert: "  maxTargetBytes: number;\n",
      },
      {
        file: "proxy/admit.ts",
        before: "  if (length !== null && Number(length) > c.maxBodyBytes)",
        insert:
          "  if (arrival.request.url.length > c.maxTargetBytes) return TOO_LARGE_BODY;\n",
      },
    ],
    tests: ["config/config_test.ts", "config/option_test.ts"],
    proof: `
Deno.test("MAX_TARGET is read, checked, and holds", async () => {
  const { proxy: options } = usable({ BACKENDS: "http://a", MAX_TARGET: "1KB" });
  await using proxy = createProxy({
    ...options, health: false,
    fetch: () => Promise.resolve(new Response()),
  });
  const status = async (length: number) =>
    (await proxy.fetch(new Request("http://x/" + "a".repeat(length)))).status;
  assert.deepEqual([await status(100), await status(2000)], [200, 413]);
  assert.throws(
    () => createProxy({ backends: ["http://a"], maxTargetBytes: 65_537 }),
    /maxTargetBytes is 65537, not a whole number from 1 to 65536/,
  );
});
`,
  },
  {
    heading: "Add a header rule",
    edits: [
      {
        file: "proxy/fields.ts",
        before: '  "sluice-debug",',
        insert: '  "x-internal",\n',
      },
      {
        file: "proxy/headers_test.ts",
        before: '  ["TE", "trailers"],',
        insert: '  ["X-Internal", "1"],\n',
      },
    ],
    tests: ["proxy/headers_test.ts"],
    proof: `
Deno.test("X-Internal does not reach a backend", async () => {
  const { proxy: options } = usable({ BACKENDS: "http://a" });
  await using proxy = createProxy({
    ...options, health: false,
    fetch: (_url, init) =>
      Promise.resolve(new Response(String(new Headers(init?.headers).get("x-internal")))),
  });
  const answer = await proxy.fetch(
    new Request("http://x/", { headers: { "x-internal": "1" } }),
  );
  assert.equal(await answer.text(), "null");
});
`,
  },
];

/** A text after an edit; the line must occur once. */
export function edited(text: string, { file, before, insert }: Edit): string {
  if (before === "") return insert;
  const lines = text.split("\n");
  // Of imports the first: any place among them is right.
  const found = lines.flatMap((line, i) => line.startsWith(before) ? [i] : []);
  const at = found[0];
  if (at === undefined || (found.length > 1 && before !== "import ")) {
    throw new Error(
      `Cannot follow a recipe: ${file} has ${found.length} lines "${before}…"`,
    );
  }
  return [...lines.slice(0, at), insert.trimEnd(), ...lines.slice(at)]
    .join("\n");
}

/** The files that a recipe of CONTRIBUTING.md names as sufficient. */
export function filesNamed(text: string, heading: string): string[] {
  const start = text.indexOf(`### ${heading}\n`);
  if (start < 0) throw new Error(`Cannot find the recipe "${heading}"`);
  const end = text.indexOf("\n#", start + 1);
  const recipe = text.slice(start, end < 0 ? undefined : end);
  // Each step begins with the file to change.
  return [...recipe.matchAll(/^\d+\. `([\w/]+\.ts)`/gm)].map(([, file]) =>
    file!
  );
}
