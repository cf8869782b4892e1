import assert from "node:assert/strict"; // built in to both runtimes
import { Backend } from "../balancer.ts";
import type { CheckResult } from "./check_backend.ts";
import {
  type CheckRules,
  checkText,
  hintsFor,
  isWell,
  type Needs,
  permissionFlags,
  permissionText,
} from "./check_text.ts";

const backend = new Backend({ url: "http://app.test:3000" });
const rules: CheckRules = {
  path: "/health",
  probes: true,
  passes: (status) => status < 400,
  lenient: false,
};

function result(
  status: number | undefined,
  headers: HeadersInit = {},
  more: Partial<CheckResult> = {},
): CheckResult {
  return {
    backend,
    answer: status === undefined
      ? undefined
      : { status, headers: new Headers(headers) },
    error: status === undefined ? "connection refused" : undefined,
    ms: 1.25,
    addresses: ["10.0.0.1"],
    ...more,
  };
}

Deno.test("isWell() judges as probes do, and accepts any response without probes", () => {
  assert.equal(isWell(result(200), rules), true);
  assert.equal(isWell(result(500), rules), false);
  assert.equal(isWell(result(404), rules), false);
  for (const status of [400, 401, 403, 404, 405, 426, 429]) {
    // As long as no path was chosen, any of them tells of a server that works.
    const one = result(status);
    assert.equal(isWell(one, rules), false, String(status));
    assert.equal(isWell(one, { ...rules, lenient: true }), true);
    const [hint] = hintsFor(one, { ...rules, lenient: true });
    assert.match(
      hint!,
      new RegExp(`answers ${status} .*counts as up: set HEA`),
    );
    assert.equal(/HEALTH_HOST/.test(hint!), status === 400);
  }
  assert.equal(isWell(result(500), { ...rules, lenient: true }), false);
  assert.equal(isWell(result(500), { ...rules, probes: false }), true);
  assert.equal(isWell(result(undefined), { ...rules, probes: false }), false);
});

Deno.test("hintsFor() has a hint for each problem, and no other", () => {
  const cases: [CheckResult, RegExp | undefined][] = [
    [result(200), undefined],
    [result(undefined), /check that it runs/],
    [result(404), /answers 404 on \/health: set HEALTH_PATH/],
    [result(503), /status 503 does not pass/],
    [
      result(302, { location: "https://www.test/" }),
      /not this proxy.*HOST_HEADER/,
    ],
    [
      result(302, { location: "/login" }),
      /redirects to \/login: set HEALTH_PATH/,
    ],
    [result(200, { "content-encoding": "gzip" }), /compresses.*\(gzip\)/],
    [result(200, { connection: "Close" }), /closes the connection/],
    [result(200, { connection: "keep-alive" }), undefined],
    [
      result(200, {}, { addresses: ["10.0.0.1", "10.0.0.2"] }),
      /resolves to 2 addresses.*resolve/,
    ],
  ];
  for (const [one, hint] of cases) {
    const hints = hintsFor(one, rules);
    if (hint === undefined) assert.deepEqual(hints, []);
    else assert.match(hints.join("\n"), hint);
  }
});

Deno.test("hintsFor() distinguishes problems of certificates", () => {
  const cases: [error: string, hint: RegExp][] = [
    ["its certificate is a CA certificate (CA:TRUE)", /CA:FALSE/],
    ["its certificate is from an unknown authority", /BACKEND_CA/],
    ["its certificate has expired", /renew its certificate/],
  ];
  for (const [error, hint] of cases) {
    const one = result(undefined, {}, {
      error,
      errorType: "tls_certificate_error",
    });
    assert.match(hintsFor(one, rules).join(), hint);
  }
});

Deno.test("checkText() says which Host is sent, where it is another", () => {
  const text = checkText([result(200)], { ...rules, host: "app.example.com" });
  assert.match(text, /^GET \/health, Host app\.example\.com$/m);
});

Deno.test("checkText() is a table and hints, one line each whatever is in them", () => {
  assert.equal(
    checkText([result(200), result(undefined)], rules),
    `GET /health

Backend                        Answer                Time  Address
http://app.test:3000  ok       status 200          1.3 ms  10.0.0.1
http://app.test:3000  failing  connection refused  1.3 ms  10.0.0.1

http://app.test:3000: does not answer: check that it runs and can be reached from here
`,
  );
  const hostile = result(301, { location: "\u001b[2J\u0085x" });
  // deno-lint-ignore no-control-regex -- they are what is looked for
  assert.doesNotMatch(checkText([hostile], rules), /[\x00-\x09\x0b-\x1f\x85]/);
});

Deno.test("checkText() paints only the verdicts, and changes no width", () => {
  const results = [result(200), result(undefined)];
  const marks: string[] = [];
  const text = checkText(results, rules, (text, emphasis) => {
    marks.push(`${emphasis} ${text.trim()}`);
    return text;
  });
  assert.deepEqual(marks, ["good ok", "bad failing"]);
  assert.equal(text, checkText(results, rules));
});

const NEEDS: Needs = {
  listens: ["0.0.0.0:8080"],
  backends: [
    backend,
    new Backend({ url: "http://app.test:3000/base" }),
    new Backend({ url: "https://app.test" }),
    new Backend({ url: "http://[::1]" }),
  ],
  anywhere: false,
  variables: ["BACKENDS"],
  files: ["/etc/ca.pem"],
  byFetch: false,
  sharesTls: false,
};

Deno.test("permissionFlags() names each host, variable and file once, and nothing else", () => {
  assert.deepEqual(permissionFlags(NEEDS), [
    "--no-prompt",
    "--allow-net=0.0.0.0:8080,app.test:3000,app.test:443,[::1]:80",
    "--allow-env=BACKENDS",
    "--allow-read=/etc/ca.pem",
  ]);
});

// Deno wants more for a socket than its file: the line that was printed had every
// request answered with 503.
Deno.test("permissionFlags() names no hosts if some are not known in advance", () => {
  const socket = new Backend({ url: "unix:/run/app.sock" });
  for (const byFetch of [false, true]) {
    assert.deepEqual(
      permissionFlags({ ...NEEDS, backends: [socket], byFetch }),
      [
        "--no-prompt",
        byFetch ? "--allow-net" : "--allow-net=0.0.0.0:8080,unix:/run/app.sock",
        "--allow-env=BACKENDS",
        "--allow-read=/etc/ca.pem,/run/app.sock",
        "--allow-write=/run/app.sock",
      ],
    );
  }
  assert.equal(permissionFlags({ ...NEEDS, anywhere: true })[1], "--allow-net");
});

Deno.test("permissionText() is a line for a shell, with its limitation", () => {
  const files = ["/a b/c,d.pem", "/it's"];
  const text = permissionText({ ...NEEDS, files, sharesTls: true });
  const [, , command, , more] = text.split("\n");
  assert.equal(
    command,
    "deno run --no-prompt --unstable-net " +
      "--allow-net=0.0.0.0:8080,app.test:3000,app.test:443,[::1]:80 " +
      `--allow-env=BACKENDS '--allow-read=/a b/c,,d.pem,/it'\\''s' mod.ts`,
  );
  assert.match(more!, /BACKENDS_FILE or the admin API .*--allow-net names it/);
  assert.match(
    permissionText({ ...NEEDS, anywhere: true }),
    /--allow-net lists no hosts, because/,
  );
});
