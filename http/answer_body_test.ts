import assert from "node:assert/strict";
import { AnswerBody } from "./answer_body.ts";
import { bytesOf, latin1 } from "./bytes.ts";

Deno.test("AnswerBody.ready() has what has arrived, and tells its source", async () => {
  const told: string[] = [];
  const body = new AnswerBody({
    wanted: () => told.push("wanted"),
    emptied: () => told.push("emptied"),
    cancelled: () => told.push("cancelled"),
  }, false);
  assert.equal(body.ready(), undefined);
  assert.deepEqual(told, []);
  body.give(bytesOf("ab"));
  body.give(bytesOf("c"));
  assert.equal(latin1(body.ready()!), "abc");
  assert.deepEqual(told, ["emptied"]);
  assert.equal(body.ready(), undefined);
  const next = body.read();
  body.give(bytesOf("d"));
  assert.equal(latin1((await next)!), "d");
  body.give(bytesOf("e"));
  body.end();
  assert.equal(latin1(body.ready()!), "e");
  assert.equal(await body.read(), undefined);
  assert.deepEqual(told, ["emptied", "wanted"]);
});
