import assert from "node:assert/strict";
import { exceptionFor, EXCEPTIONS, limits } from "./exceptions.ts";
import { GROUPS } from "./groups.ts";

Deno.test("each exception is about cases that there are", () => {
  for (const { group, cases } of EXCEPTIONS) {
    const names = GROUPS.find(({ name }) => name === group)?.cases
      .map(({ name }) => name);
    for (const begin of cases) {
      assert.ok(names?.some((name) => name.startsWith(begin)), begin);
    }
  }
});

Deno.test("no two cases have the same name", () => {
  const names = GROUPS.flatMap(({ cases }) => cases.map(({ name }) => name));
  const twice = names.filter((name, i) => names.indexOf(name) !== i);
  assert.deepEqual(twice, []);
});

Deno.test("there are at least 200 cases", () => {
  assert.ok(GROUPS.flatMap(({ cases }) => cases).length >= 200);
});

Deno.test("exceptionFor() finds a case by how its name begins", () => {
  const name = "target: an apostrophe in the query arrives as it was sent";
  assert.match(exceptionFor("deno", "fetch", "target", name)!.instead, /%27/);
  assert.equal(exceptionFor("deno", "socket", "target", name), undefined);
  assert.equal(exceptionFor("deno", "fetch", "host", name), undefined);
  assert.equal(
    exceptionFor("deno", "fetch", "target", "target: a plain path"),
    undefined,
  );
});

Deno.test("limits() lists each exception once, with its issue", () => {
  const text = limits();
  for (const { instead, reason, issue } of EXCEPTIONS) {
    assert.equal(text.split(instead).length, 2, instead);
    assert.ok(text.includes(reason));
    if (issue !== undefined) assert.ok(text.includes(`[${issue}](https://`));
  }
});
