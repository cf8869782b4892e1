import assert from "node:assert/strict"; // built in to both runtimes
import type { Fields } from "./headers.ts";
import { newSpanId, setSpan, traceOf } from "./trace.ts";

const ID = "0af7651916cd43dd8448eb211c80319c";
const PARENT = "b7ad6b7169203331";

Deno.test("traceOf() keeps the trace of a valid traceparent", () => {
  const cases: [string, string][] = [
    [`00-${ID}-${PARENT}-01`, "01"],
    [`00-${ID}-${PARENT}-00`, "00"],
    [`cc-${ID}-${PARENT}-01`, "01"],
    [`cc-${ID}-${PARENT}-01-what-the-future-brings`, "01"],
  ];
  for (const [value, flags] of cases) {
    assert.deepEqual(traceOf(value), { id: ID, flags, begun: false }, value);
  }
});

Deno.test("traceOf() begins a trace where there is no valid one", () => {
  const wrong = [
    null,
    "",
    "nonsense",
    `ff-${ID}-${PARENT}-01`,
    `00-${"0".repeat(32)}-${PARENT}-01`,
    `00-${ID}-${"0".repeat(16)}-01`,
    `00-${ID.toUpperCase()}-${PARENT}-01`,
    `00-${ID}-${PARENT}-01-more`,
    `00-${ID}-${PARENT}-1`,
    `00-${ID}-${PARENT}-01, 00-${ID}-${PARENT}-01`,
    ` 00-${ID}-${PARENT}-01`,
  ];
  for (const value of wrong) {
    const trace = traceOf(value);
    assert.equal(trace.begun, true, `${value}`);
    assert.match(trace.id, /^[0-9a-f]{32}$/);
    assert.notEqual(trace.id, ID);
  }
});

Deno.test("setSpan() puts each attempt's span in place of the parent's", () => {
  const fields: Fields = [
    ["a", "1"],
    ["traceparent", `00-${ID}-${PARENT}-00`],
    ["tracestate", "vendor=x"],
  ];
  const span = newSpanId();
  assert.match(span, /^[0-9a-f]{16}$/);
  setSpan(fields, { id: ID, flags: "00", begun: false }, span);
  assert.deepEqual(fields, [
    ["a", "1"],
    ["tracestate", "vendor=x"],
    ["traceparent", `00-${ID}-${span}-00`],
  ]);
});

Deno.test("setSpan() drops the tracestate of a trace that could not be read", () => {
  const fields: Fields = [
    ["traceparent", "broken"],
    ["tracestate", "vendor=x"],
  ];
  setSpan(fields, { id: ID, flags: "01", begun: true }, PARENT);
  assert.deepEqual(fields, [["traceparent", `00-${ID}-${PARENT}-01`]]);
});
