import assert from "node:assert/strict";
import { settingsTable } from "../testing/settings_table.ts";
import { helpText } from "./help.ts";
import { COMMANDS } from "./commands.ts";
import { flagOf, SETTING_NAMES, SETTINGS } from "./settings.ts";

Deno.test("SETTINGS has only defaults that its own grammars take", () => {
  for (const name of SETTING_NAMES) {
    const { grammar, default: text } = SETTINGS[name];
    if (text !== "") assert.ok("value" in grammar.parse(text), name);
  }
});

Deno.test("flagOf() spells a variable as a flag", () => {
  assert.equal(flagOf("HEALTH_PATH"), "--health-path");
});

Deno.test("settingsTable() has a row for each setting and even columns", () => {
  const lines = settingsTable().trimEnd().split("\n");
  assert.equal(lines.length, SETTING_NAMES.length + 2);
  assert.equal(new Set(lines.map((line) => line.length)).size, 1);
  assert.match(lines[2]!, /^\| `BACKENDS` +\| required +\|/);
  assert.ok(lines.every((line) => line.match(/\|/g)!.length === 5));
});

Deno.test("helpText() names every flag within 100 columns", () => {
  const text = helpText("1.2.3");
  assert.match(text, /^Sluice 1\.2\.3:/);
  for (const flag of [...SETTING_NAMES.map(flagOf), ...Object.keys(COMMANDS)]) {
    assert.ok(text.includes(`\n  ${flag} `), flag);
  }
  for (const line of text.split("\n")) {
    assert.ok(line.length <= 100 && line === line.trimEnd(), line);
  }
});
