/**
 * curl, an independent client.
 *
 * @module
 */

import assert from "node:assert/strict";

/** Runs curl, which must succeed; returns its output. */
export async function curl(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("curl", {
    args: ["-sS", "--max-time", "10", ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const text = decoder.decode(stdout);
  assert.equal(code, 0, `${args.join(" ")}: ${text}${decoder.decode(stderr)}`);
  return text;
}
