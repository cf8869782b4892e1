import assert from "node:assert/strict";
import { proxyVariableFault } from "./no_proxy.ts";

function fault(urls: readonly string[], env: Record<string, string>) {
  return proxyVariableFault(urls, (name) => env[name]);
}

Deno.test("proxyVariableFault() knows which variable is for which scheme", () => {
  const cases: [url: string, name: string, diverts: boolean][] = [
    ["http://a", "HTTP_PROXY", true],
    ["http://a", "http_proxy", true],
    ["http://a", "ALL_PROXY", true],
    ["http://a", "all_proxy", true],
    ["http://a", "HTTPS_PROXY", false],
    ["https://a", "HTTPS_PROXY", true],
    ["https://a", "https_proxy", true],
    ["https://a", "ALL_PROXY", true],
    ["https://a", "HTTP_PROXY", false],
    ["unix:/a.sock", "ALL_PROXY", false],
  ];
  for (const [url, name, diverts] of cases) {
    const found = fault([url], { [name]: "http://proxy:3128" });
    assert.equal(found !== undefined, diverts, `${url} ${name}`);
  }
});

Deno.test("proxyVariableFault() accepts exemptions that work in both runtimes", () => {
  const cases: [url: string, list: string, exempt: boolean][] = [
    ["http://a.test", "*", true],
    ["http://a.test", "x, *", true],
    ["http://a.test", "a.test", true],
    ["http://b.a.test", "a.test", true],
    ["http://b.a.test", ".a.test", true],
    ["http://a.test", ".a.test", true],
    ["http://ba.test", "a.test", false],
    ["http://a.test", "A.test", false],
    ["http://a.test", "*.test", false],
    ["http://a.test:81", "a.test:81", false],
    ["http://a.test", "x a.test", false],
    ["http://a.test", "", false],
    ["http://a.test", ",.", false],
    ["http://10.0.0.1", "10.0.0.1", true],
    ["http://10.0.0.1", "10.0.0.0/8", true],
    ["http://10.0.0.1", "*", false],
    ["http://10.0.0.1", "0.0.1", false],
    ["http://[::1]", "::1", true],
    ["http://[::1]", "::/64", true],
    ["http://[::1]", "[::1]", false],
  ];
  for (const [url, list, exempt] of cases) {
    const found = fault([url], { HTTP_PROXY: "p", NO_PROXY: list });
    assert.equal(found === undefined, exempt, `${url} in "${list}"`);
  }
});

Deno.test("proxyVariableFault() requires a host in both spellings of NO_PROXY", () => {
  const env = { HTTP_PROXY: "p", NO_PROXY: "a", no_proxy: "b" };
  assert.notEqual(fault(["http://a"], env), undefined);
  assert.notEqual(fault(["http://b"], env), undefined);
  assert.equal(
    fault(["http://a"], { HTTP_PROXY: "p", no_proxy: "a" }),
    undefined,
  );
  // Deno takes the empty upper-case variable, Bun passes it by.
  const empty = { HTTP_PROXY: "p", NO_PROXY: "", no_proxy: "a" };
  assert.notEqual(fault(["http://a"], empty), undefined);
});

Deno.test("proxyVariableFault() names variables and hosts, and shows no value", () => {
  assert.equal(
    fault(["http://a:1", "http://a:2", "http://[::1]", "http://c"], {
      HTTP_PROXY: "http://user:hunter2@proxy",
      http_proxy: "http://user:hunter2@proxy",
      NO_PROXY: "c",
    }),
    "HTTP_PROXY, http_proxy: would divert the requests to a,::1: " +
      "unset it, or add to NO_PROXY: a,::1",
  );
});
