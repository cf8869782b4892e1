import assert from "node:assert/strict";
import {
  allImports,
  circle,
  importsIn,
  loadedWith,
  placeOf,
  shippedFiles,
} from "./imports.ts";
import { denoPath, ROOT } from "./tools.ts";

/** Which places a place may import; after `type:` only types. */
const MAY_IMPORT: Readonly<Record<string, string>> = {
  base: "",
  http: "base",
  balancer: "base",
  health: "base balancer",
  proxy: "base http balancer health",
  config: "base type:balancer type:proxy type:observe",
  discovery: "base balancer config",
  runtime: "base http proxy type:balancer type:health type:config",
  observe: "base balancer health type:proxy",
  workers: "base balancer observe type:config type:runtime",
  program:
    "base http balancer health proxy config discovery runtime observe workers",
  mod: "program type:base type:balancer type:config type:runtime",
};

const imports = await allImports();

// balancer/ imported its clock from runtime/, and config/ a type.
Deno.test("no published module imports from a place above its own", () => {
  for (const { from, to, typeOnly } of imports) {
    const [here, there] = [placeOf(from), placeOf(to)];
    const may = MAY_IMPORT[here]?.split(" ");
    assert.ok(may !== undefined, `${from} is in no known place`);
    assert.ok(
      here === there || may.includes(there) ||
        typeOnly && may.includes(`type:${there}`),
      `${from} imports ${typeOnly ? "types of " : ""}${to}`,
    );
  }
});

Deno.test("no published module imports itself in a circle, not even for types", () => {
  assert.equal(circle(imports)?.join(" → "), undefined);
});

Deno.test("published modules import each other by relative paths alone", async () => {
  const files = shippedFiles("");
  assert.ok(files.length > 100);
  for (const file of files) {
    const text = await Deno.readTextFile(`${ROOT}/${file}`);
    for (const { specifier } of importsIn(text)) {
      assert.match(specifier, /^(?:\.\.?\/.*\.ts|node:[\w/]+)$/, file);
    }
  }
  for (const { from, to } of imports) {
    assert.ok(files.includes(to), `${from} imports ${to}`);
  }
});

// An import costs 5 to 15 ms at start on Deno, and `workerd` has no such
// module.
Deno.test("no published module imports one of Node's, but for its types", async () => {
  for (const file of shippedFiles("")) {
    for (
      const { specifier, typeOnly } of importsIn(
        await Deno.readTextFile(`${ROOT}/${file}`),
      )
    ) {
      const isLate = file === "base/builtin.ts";
      assert.ok(!specifier.startsWith("node:") || typeOnly || isLate, file);
    }
  }
});

// A library that imported mod.ts loaded all of it, the dashboard's script too.
Deno.test("an import of mod.ts loads neither program, dashboard, workers nor flags", () => {
  const loaded = loadedWith("mod.ts", imports);
  const later = [
    /^program\/(?:start|main|check|check_\w+|worker)\.ts$/,
    /^observe\/(?:admin|backend_json|dashboard|events|explain|figures|token)/,
    /^program\/admin_handler\.ts$/,
    /^workers\/(?!capacity)/,
    /^runtime\/workers\.ts$/,
    /^config\/(?:config|flags|help|reading|to_options|spelling|tls)\.ts$/,
  ];
  for (const path of loaded) {
    assert.ok(!later.some((pattern) => pattern.test(path)), path);
  }
  for (const pattern of later) {
    assert.ok(
      shippedFiles("").some((path) => pattern.test(path)),
      `${pattern}`,
    );
  }
});

/** The part of `deno info --json` that is used. */
interface Graph {
  modules: {
    specifier: string;
    dependencies?: {
      code?: { specifier?: string };
      isDynamic?: boolean;
    }[];
  }[];
}

Deno.test("loadedWith() finds what Deno's own graph has", async () => {
  const { stdout } = await new Deno.Command(await denoPath(), {
    args: ["info", "--json", "mod.ts"],
    cwd: ROOT,
  }).output();
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as Graph;
  const root = new URL("..", import.meta.url).href;
  const byName = new Map(modules.map((one) => [one.specifier, one]));
  const loaded = new Set([`${root}mod.ts`]);
  for (const name of loaded) {
    for (const { code, isDynamic } of byName.get(name)?.dependencies ?? []) {
      if (code?.specifier !== undefined && !isDynamic) {
        loaded.add(code.specifier);
      }
    }
  }
  assert.deepEqual(
    [...loaded].filter((name) => name.startsWith(root))
      .map((name) => name.slice(root.length)).sort(),
    [...loadedWith("mod.ts", imports)].sort(),
  );
});

Deno.test("importsIn() tells types, later imports and examples apart", () => {
  const text = [
    "/**",
    ' * import { a } from "./example.ts";',
    " */",
    'import type { A } from "./a.ts";',
    "import {",
    "  type B,",
    "  b,",
    '} from "./b.ts";',
    'import { type C } from "./c.ts";',
    'export type { D } from "./d.ts";',
    '// import { e } from "./e.ts";',
    'import "./f.ts";',
    'const g = await import("./g.ts");',
  ].join("\n");
  assert.deepEqual(
    importsIn(text).map(({ specifier, typeOnly, late }) =>
      `${specifier}${typeOnly ? " type" : ""}${late ? " late" : ""}`
    ),
    [
      "./a.ts type",
      "./b.ts",
      "./c.ts type",
      "./d.ts type",
      "./f.ts",
      "./g.ts late",
    ],
  );
});

Deno.test("circle() finds one, and none where ways only meet again", () => {
  const of = (...pairs: string[]) =>
    circle(pairs.map((pair) => ({ from: pair[0]!, to: pair[1]! })));
  assert.equal(of("ab", "ac", "bd", "cd"), undefined);
  assert.deepEqual(of("ab", "bc", "cb"), ["b", "c", "b"]);
});
