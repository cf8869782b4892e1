/**
 * Settings at random: what was right and then had something happen to it, as
 * variables, as flags and in files. Whatever it is, it is read or refused in
 * words, quickly, and no secret gets into the words.
 */

import assert from "node:assert/strict";
import { CERT, KEY } from "../testing/certificates.ts";
import { seeded } from "../testing/random.ts";
import { A, settings } from "../testing/settings.ts";
import { parseBackends } from "./backends.ts";
import { flagOf, SETTING_NAMES, SETTINGS } from "./settings.ts";
import { WRONG_SETTINGS } from "./wrong_settings.ts";

/** Of each. */
const COUNT = 4_000;
const SECRET = "canary-in-a-token";

type Random = () => number;

function pick<T>(random: Random, list: readonly T[]): T {
  return list[Math.floor(random() * list.length)]!;
}

const LETTERS = [
  ..." \t\r\n\0,;:=/?#@[]%*-+._~'\"\\{}()<>|&$!`^",
  ...["0", "1", "9", "a", "z", "A", "é", "𝄞", "\ud800", "\ufeff", "\x7f"],
];
const WORDS = [
  ...[
    "off",
    "on",
    "auto",
    "http://",
    "https://",
    "unix:",
    "127.0.0.1",
    "[::1]",
  ],
  ...[
    "weight=",
    "backup",
    "max_conns=",
    "resolve",
    "name=",
    "5s",
    "10MB",
    "20%",
  ],
  ...["1e9", "0x10", "-1", "NaN", "Infinity", "99999999999999999999", "u:p@"],
  ...["/..", "%2e", "localhost", "a.test:99999", "::", "0.0.0.0/0", "10/s"],
  ...[
    "sticky:",
    "header:",
    "p2c",
    "__proto__",
    "constructor",
    "${x}",
    "/dev/null",
  ],
];

function mutated(random: Random, text: string): string {
  let made = text;
  for (let left = Math.floor(random() * 4); left > 0; left--) {
    const at = Math.floor(random() * (made.length + 1));
    const kind = random();
    if (kind < 0.25) {
      made = made.slice(0, at) + made.slice(at + 1 + Math.floor(random() * 3));
    } else if (kind < 0.5) {
      made = made.slice(0, at) + pick(random, LETTERS) + made.slice(at);
    } else if (kind < 0.75) {
      made = made.slice(0, at) + pick(random, WORDS) + made.slice(at);
    } else if (kind < 0.85) {
      const piece = made.slice(at, at + 5);
      made = made.slice(0, at) + piece.repeat(Math.floor(random() * 50)) +
        made.slice(at);
    } else made += pick(random, [",", "\n", " ", ""]) + made;
  }
  return made;
}

/** Right texts for each setting, and wrong ones. */
const TEXTS: readonly [name: string, text: string][] = [
  ...SETTING_NAMES.flatMap((name): [string, string][] => {
    const { default: given } = SETTINGS[name] as { default?: string };
    return given === undefined ? [] : [[name, given]];
  }),
  ...WRONG_SETTINGS.flatMap(({ env }) => Object.entries(env)),
  ["BACKENDS", `${A} weight=3 name=a, http://b.test:81/base backup`],
  ["BACKENDS", "unix:/run/a.sock max_conns=5\nhttp://c.test resolve # c"],
  ["TRUSTED_PROXIES", "loopback, 10.0.0.0/8, 2001:db8::/32"],
  ["HEALTH_STATUS", "200-299, 404"],
  ["POLICY", "header:X-User"],
  ["RATE_LIMIT", "1000/m"],
];

const FILES = { "/cert": CERT, "/key": KEY, "/list": `${A}\nhttp://b.test` };

function check(
  what: unknown,
  env: Record<string, string>,
  args: readonly string[],
): void {
  const said = () => JSON.stringify({ what, env, args });
  const began = performance.now();
  let config: ReturnType<typeof settings>;
  try {
    config = settings(env, args, FILES);
  } catch (error) {
    throw new Error(`It threw ${error} at ${said()}`, { cause: error });
  }
  // A bound that only what is not linear can pass.
  assert.ok(performance.now() - began < 2_000, said());
  if (!("faults" in config) && !("proxy" in config)) return;
  const lines = "faults" in config ? config.faults : config.warnings;
  if ("faults" in config) assert.ok(lines.length > 0, said());
  for (const line of lines) {
    assert.ok(
      line.length > 0 && line.length < 4_000,
      `${line.length}${said()}`,
    );
    // deno-lint-ignore no-control-regex
    assert.doesNotMatch(line, /[\x00-\x1f\x7f]/, said());
    assert.ok(!line.includes(SECRET), `${line} of ${said()}`);
  }
  if ("faults" in config) return;
  assert.ok(config.proxy.backends.length > 0, said());
  assert.ok(!JSON.stringify(config.values).includes(SECRET), said());
}

Deno.test("readSettings() reads or refuses whatever variables hold", () => {
  const random = seeded(1);
  for (let i = 0; i < COUNT; i++) {
    const env: Record<string, string> = { BACKENDS: A, ADMIN_TOKEN: SECRET };
    for (let left = 1 + Math.floor(random() * 3); left > 0; left--) {
      const [name, text] = pick(random, TEXTS);
      env[name] = mutated(random, text);
    }
    if (random() < 0.2) {
      delete env.BACKENDS;
      env.BACKENDS_FILE = "/list";
    }
    env.ADMIN_TOKEN = SECRET;
    check(i, env, []);
  }
});

Deno.test("readSettings() reads or refuses whatever flags there are", () => {
  const random = seeded(2);
  // What is misspelt is compared with each name, which takes a while.
  for (let i = 0; i < COUNT / 5; i++) {
    const args: string[] = [];
    for (let left = 1 + Math.floor(random() * 4); left > 0; left--) {
      const [name, text] = pick(random, TEXTS);
      const known = name in SETTINGS;
      const flag = known
        ? flagOf(name as Parameters<typeof flagOf>[0])
        : `--${name}`;
      const written = random() < 0.7 ? flag : mutated(random, flag);
      const value = mutated(random, text);
      if (random() < 0.5) args.push(`${written}=${value}`);
      else args.push(written, value);
    }
    if (random() < 0.3) {
      args.push(pick(random, ["--check", "--", "-h", "-", "x"]));
    }
    check(i, { BACKENDS: A, ADMIN_TOKEN: SECRET }, args);
  }
});

Deno.test("parseBackends() loses no entry: each is a backend or a fault", () => {
  const random = seeded(3);
  const lists = TEXTS.filter(([name]) => name === "BACKENDS");
  for (let i = 0; i < COUNT; i++) {
    const text = mutated(random, pick(random, lists)[1]);
    const { backends, faults } = parseBackends(text);
    const entries = text.split(/\r\n|\r|\n/)
      .flatMap((line) => line.replace(/(?:^|\s)#.*$/s, "").split(","))
      .filter((entry) => entry.trim() !== "").length;
    const about = faults.filter(({ entry }) => entry !== "").length;
    assert.equal(backends.length + about, entries, JSON.stringify(text));
    if (backends.length === 0) assert.ok(faults.length > 0);
    for (const { line, wanted } of faults) {
      assert.ok(line >= 1 && line <= text.split(/\r\n|\r|\n/).length);
      assert.ok(wanted.length > 0);
    }
    // What is read once is read alike when it is written as it was read.
    const again = parseBackends(backends.map(({ url }) => url).join("\n"));
    assert.deepEqual(
      again.backends.map(({ url }) => url),
      backends.map(({ url }) => url),
      JSON.stringify(text),
    );
  }
});

Deno.test("each setting's grammar reads or refuses whatever it is given", () => {
  const random = seeded(4);
  for (const name of SETTING_NAMES) {
    const { grammar } = SETTINGS[name] as {
      grammar: { parse(text: string): { value: unknown } | { wanted: string } };
    };
    const texts = TEXTS.filter(([of]) => of === name).map(([, text]) => text);
    for (let i = 0; i < COUNT / 20; i++) {
      const text = mutated(
        random,
        pick(random, [...texts, pick(random, TEXTS)[1]]),
      );
      const result = grammar.parse(text);
      const shown = `${name}=${JSON.stringify(text)}`;
      if ("wanted" in result) assert.ok(result.wanted.length > 0, shown);
      else assert.notEqual(result.value, undefined, shown);
    }
  }
});
