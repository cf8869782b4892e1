import assert from "node:assert/strict";
import { defaultOf } from "./option.ts";
import { SETTING_NAMES, SETTINGS } from "./settings.ts";

/** The comment above a field of an interface, as one line. */
function commentOn(text: string, type: string, field: string): string {
  const start = text.indexOf(`export interface ${type} {`);
  const body = text.slice(start, text.indexOf("\n}", start));
  const at = body.indexOf(`\n  readonly ${field}`);
  assert.ok(start >= 0 && at >= 0, `${type}.${field}`);
  const comment = body.slice(body.lastIndexOf("/**", at), at);
  return comment.replace(/\s+\*?\s*/g, " ").replaceAll(",", "");
}

const TYPES: Readonly<Record<string, string>> = {
  "proxy": "ProxyOptions",
  "proxy.health": "HealthOptions",
  "proxy.eject": "EjectOptions",
  "proxy.backendTls": "BackendTlsOptions",
  "serve": "ServeOptions",
  "serve.tls": "TlsOptions",
  "serve.admin": "AdminOptions",
};

/** `10ms` to `24h` as prose has it: 10 ms to 24 h. */
function boundsText(takes: string, [min, max]: [number, number]): string {
  const [, from, to] = /^`(\d+[a-z]+)` to `(\d+[a-z]+)`/i.exec(takes) ?? [];
  if (from === undefined || to === undefined) return `${min} to ${max}`;
  return `${from} to ${to}`.replace(/(\d)([a-z]+)/gi, "$1 $2");
}

// A default stood in up to four places, and two of them had drifted apart.
Deno.test("defaults and bounds in the comments of options.ts equal those of the table", async () => {
  const files = ["options.ts", "backend_options.ts", "serve_options.ts"].map(
    (file) => Deno.readTextFile(new URL(file, import.meta.url)),
  );
  const text = (await Promise.all(files)).join("\n");
  for (const name of SETTING_NAMES) {
    const { field, grammar, offField } = SETTINGS[name];
    const [option = "", ...owner] = field.split(".").reverse();
    const type = TYPES[owner.reverse().join(".")];
    assert.ok(type, field);
    const comment = commentOn(text, type, option);
    const { bounds, takes } = grammar;
    if (bounds !== undefined) {
      const wanted = boundsText(takes, [bounds.min, bounds.max]);
      assert.ok(comment.includes(wanted), `${field}: "${wanted}": ${comment}`);
    }
    const value = defaultOf(name);
    // What is off as a whole says so where it is switched on.
    if (value === undefined || (offField !== undefined && value === false)) {
      continue;
    }
    const [, said] = /@default \{(.*?)\}/.exec(comment) ?? [];
    assert.ok(said !== undefined, `${field} has no @default`);
    const plain = Array.isArray(value) ? value[0] : value;
    // Figures are grouped: 60_000.
    const shown = said.replace(/(?<=\d)_(?=\d)/g, "");
    assert.equal(shown, JSON.stringify(plain), field);
  }
});
