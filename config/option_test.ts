import assert from "node:assert/strict";
import { createProxy, serve } from "../mod.ts";
import { A } from "../testing/settings.ts";
import { checkedOption, defaultOf, optionalOption } from "./option.ts";
import type { ServeOptions } from "./options.ts";
import type { Setting, SettingName } from "./settings.ts";
import { SETTING_NAMES, SETTINGS } from "./settings.ts";
import { optionsFrom } from "./to_options.ts";

const NUMERIC = SETTING_NAMES.filter((name) =>
  SETTINGS[name].grammar.bounds !== undefined
);

/** The option of a setting without its root: `health.rise`. */
function optionOf(name: SettingName): string {
  return SETTINGS[name].field.replace(/^\w+\./, "");
}

Deno.test("defaultOf() reads each default with its row's own grammar", () => {
  assert.equal(defaultOf("TIMEOUT"), 60_000);
  assert.equal(defaultOf("MAX_BODY"), false);
  assert.equal(defaultOf("RETRY_BUDGET"), 0.2);
  assert.equal(defaultOf("ADMIN_TOKEN"), undefined);
});

Deno.test("checkedOption() takes the default, both bounds, and no number outside", () => {
  for (const name of NUMERIC) {
    const { grammar }: Setting = SETTINGS[name];
    const { min, max, whole } = grammar.bounds!;
    const check = (value: unknown) => checkedOption(name, value as never);
    assert.equal(check(undefined), defaultOf(name), name);
    assert.equal(check(min), min, name);
    assert.equal(check(max), max, name);
    const wrong = [min - 1, max + 1, NaN, Infinity, String(max), null];
    for (const value of whole ? [...wrong, min + 0.5] : wrong) {
      assert.throws(
        () => check(value),
        (error) =>
          error instanceof RangeError &&
          error.message.includes(`: ${optionOf(name)} is ${value}, not `),
        `${name} ${value}`,
      );
    }
  }
});

Deno.test("checkedOption() takes false where off switches off that option alone", () => {
  assert.equal(checkedOption("IDLE_TIMEOUT", false), false);
  assert.equal(checkedOption("ACCESS_LOG", false), false);
  for (const name of ["HEALTH_PATH", "EJECT_AFTER", "ADMIN_PORT"] as const) {
    assert.throws(() => checkedOption(name, false), /(path|after|port) is /);
  }
  // RETRIES=off is the number 0.
  assert.throws(() => checkedOption("RETRIES", false as never), RangeError);
});

Deno.test("checkedOption() refuses a text for a switch, and anything else for a text", () => {
  assert.equal(checkedOption("VIA", false), false);
  const wrong: [SettingName, unknown, RegExp][] = [
    [
      "VIA",
      "off",
      /Cannot make a proxy: via is of type string, not true or false$/,
    ],
    ["TRACE", 1, /trace is of type number, not true or false$/],
    ["POLICY", 1, /policy is of type number, not a text$/],
    ["HOST", {}, /Cannot serve: host is of type object, not a text$/],
    ["HOST", "256.0.0.1", /Cannot serve: host "256\.0\.0\.1" is not an addr/],
    ["ADMIN_TOKEN", "hunter2", /Cannot serve: admin\.token "\*\*\*" has 7 /],
  ];
  for (const [name, value, why] of wrong) {
    assert.throws(() => optionalOption(name, value as never), why);
  }
});

// A limit that only the program checked could be any number in a library.
Deno.test("createProxy() and serve() refuse numbers outside of the settings' bounds by name", async () => {
  await using proxy = createProxy({ backends: [A], health: false });
  for (const name of NUMERIC) {
    const { field, grammar: { bounds } }: Setting = SETTINGS[name];
    // Beside details a switch may be missing: an admin port has a host as well.
    const options = optionsFrom({
      BACKENDS: [A],
      ADMIN_PORT: field.startsWith("serve.admin") ? 0 : undefined,
      [name]: bounds!.max + 1,
    });
    const { port = 0, ...rest } = options.serve;
    const given: ServeOptions = { host: "127.0.0.1", port, ...rest };
    assert.throws(
      () =>
        field.startsWith("serve.")
          ? serve(proxy, given)
          : createProxy(options.proxy),
      (error) =>
        error instanceof RangeError &&
        error.message.includes(`: ${optionOf(name)} is ${bounds!.max + 1}, `),
      name,
    );
  }
});

Deno.test("optionsFrom() lets off win over details, and details switch nothing on", () => {
  assert.deepEqual(
    optionsFrom({ HEALTH_RISE: 3, HEALTH_PATH: false, ADMIN_HOST: ["a"] }),
    { proxy: { health: false }, serve: {} },
  );
  assert.deepEqual(
    optionsFrom({ ADMIN_PORT: 1, ADMIN_HOST: ["a"] }).serve,
    { admin: { port: 1, host: ["a"] } },
  );
});
