import assert from "node:assert/strict";
import { settingsTables } from "../testing/settings_table.ts";
import { SETTING_GROUPS } from "./groups.ts";
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

Deno.test("SETTING_GROUPS has each setting once, in the table's order", () => {
  assert.deepEqual(SETTING_GROUPS.flatMap(({ names }) => names), SETTING_NAMES);
  assert.ok(SETTING_GROUPS.every(({ names }) => names.length > 0));
});

Deno.test("settingsTables() has a row for each setting and even columns", () => {
  const tables = settingsTables().split(/^## .+\n\n/m).slice(1);
  assert.equal(tables.length, SETTING_GROUPS.length);
  assert.match(tables[0]!, /^\| `BACKENDS` +\| required +\|/m);
  tables.forEach((table, i) => {
    const lines = table.trimEnd().split("\n");
    assert.equal(lines.length, SETTING_GROUPS[i]!.names.length + 2);
    assert.equal(new Set(lines.map((line) => line.length)).size, 1);
    assert.ok(lines.every((line) => line.match(/\|/g)!.length === 5));
  });
});

Deno.test("helpText() names every flag and variable within 100 columns", () => {
  const text = helpText("1.2.3");
  assert.match(text, /^Sluice 1\.2\.3:/);
  for (const name of SETTING_NAMES) {
    const entry = new RegExp(`^  ${flagOf(name)} .+\n  ${name} `, "m");
    assert.match(text, entry);
  }
  for (const flag of Object.keys(COMMANDS)) {
    assert.ok(text.includes(`\n  ${flag} `), flag);
  }
  for (const { title } of SETTING_GROUPS) {
    assert.ok(text.includes(`\n${title}:\n`), title);
  }
  for (const line of text.split("\n")) {
    assert.ok(line.length <= 100 && line === line.trimEnd(), line);
  }
});

Deno.test("helpText() emphasizes headings only on request", () => {
  const text = helpText("1.2.3", (heading) => `<${heading}>`);
  assert.ok(text.includes("\n<Health probes:>\n"));
});
