import assert from "node:assert/strict";
import { CERT, KEY } from "../testing/certificates.ts";
import { A, faults, settings, usable } from "../testing/settings.ts";
import { readSettings } from "./config.ts";
import { SETTING_NAMES, SETTINGS } from "./settings.ts";
import { WRONG_SETTINGS } from "./wrong_settings.ts";

for (const { name, env, args, wants } of WRONG_SETTINGS) {
  Deno.test(`readSettings() finds the one fault: ${name}`, () => {
    const [fault, ...more] = faults(env, args);
    assert.match(fault!, wants);
    assert.deepEqual(more, []);
    assert.doesNotMatch(fault!, /[\r\n]|hunter|ter2/);
  });
}

Deno.test("readSettings() takes one backend and leaves out what was not set", () => {
  const { kind, proxy, serve, backendsFile } = usable({ BACKENDS: A });
  assert.equal(kind, "run");
  assert.deepEqual(proxy, { backends: [{ url: A }] });
  assert.deepEqual(serve, {});
  assert.equal(backendsFile, undefined);
});

Deno.test("readSettings() puts each setting into the field its row names", () => {
  const samples: Record<string, [text: string, value: unknown]> = {
    BACKENDS: [A, [{ url: A }]],
    BACKEND_CA: ["/cert", CERT],
    BACKEND_CERT: ["/cert", CERT],
    BACKEND_KEY: ["/key", KEY],
    TRANSPORT: ["socket", "socket"],
    PORT: ["0", 0],
    HOST: ["[::1]", "::1"],
    TLS_CERT: ["/cert", CERT],
    TLS_KEY: ["/key", KEY],
    REDIRECT_PORT: ["80", 80],
    WORKERS: ["auto", "auto"],
    POLICY: ["sticky:lb", "sticky:lb"],
    HEALTH_PATH: ["/up?full=1", "/up?full=1"],
    HEALTH_HOST: ["App.example.com:81", "app.example.com:81"],
    HEALTH_STATUS: ["200-299, 404", "200-299,404"],
    HEALTH_INTERVAL: ["500ms", 500],
    HEALTH_TIMEOUT: ["100ms", 100],
    HEALTH_RISE: ["1", 1],
    HEALTH_FALL: ["5", 5],
    EJECT_AFTER: ["4", 4],
    EJECT_TIME: ["5m", 300_000],
    SLOW_START: ["1h", 3_600_000],
    RETRIES: ["off", 0],
    RETRY_BUDGET: ["12.5%", 0.125],
    CONNECT_TIMEOUT: ["1s", 1_000],
    TIMEOUT: ["1m", 60_000],
    CLIENT_TIMEOUT: ["2m", 120_000],
    IDLE_TIMEOUT: ["5m", 300_000],
    RESUME: ["on", true],
    MAX_BODY: ["64KB", 65_536],
    MAX_MESSAGE: ["1MB", 1_048_576],
    MAX_IN_FLIGHT: ["auto", "auto"],
    RATE_LIMIT: ["1000/m", { requests: 1000, perMs: 60_000 }],
    HOST_HEADER: ["backend", "backend"],
    TRUSTED_PROXIES: ["loopback, 10.0.0.0/8", ["loopback", "10.0.0.0/8"]],
    VIA: ["off", false],
    REQUEST_ID: ["on", true],
    TRACE: ["on", true],
    ACCESS_LOG: ["json", "json"],
    LOG_QUERY: ["off", false],
    ADMIN_PORT: ["9000", 9000],
    ADMIN_HOST: ["LOCALHOST", ["localhost"]],
    ADMIN_TOKEN: ["0123456789abcdef", "0123456789abcdef"],
    DRAIN_DELAY: ["0s", 0],
    DRAIN_TIMEOUT: ["1s", 1000],
  };
  const names = SETTING_NAMES.filter((name) => name !== "BACKENDS_FILE");
  assert.deepEqual(Object.keys(samples), names);
  const env = Object.fromEntries(
    names.map((name) => [name, samples[name]![0]]),
  );
  const config = usable(env, [], { "/cert": CERT, "/key": KEY });
  for (const name of names) {
    const field = SETTINGS[name].field.split(".");
    const value = field.reduce(
      (at: unknown, key) => (at as Record<string, unknown>)[key],
      config,
    );
    assert.deepEqual(value, samples[name]![1], name);
  }
});

Deno.test("readSettings() switches off by the word off", () => {
  const { proxy, serve } = usable({
    BACKENDS: A,
    HEALTH_PATH: "off",
    HEALTH_INTERVAL: "1s", // under the timeout, which no longer matters
    EJECT_AFTER: "off",
    SLOW_START: "off",
    CLIENT_TIMEOUT: "off",
    IDLE_TIMEOUT: "off",
    MAX_BODY: "off",
    MAX_IN_FLIGHT: "off",
    ACCESS_LOG: "off",
    ADMIN_PORT: "off",
    ADMIN_TOKEN: "0123456789abcdef",
  });
  assert.deepEqual(proxy, {
    backends: [{ url: A }],
    health: false,
    eject: false,
    slowStartMs: false,
    clientTimeoutMs: false,
    idleTimeoutMs: false,
    maxBodyBytes: false,
    maxInFlight: false,
    accessLog: false,
  });
  assert.deepEqual(serve, { admin: false });
});

Deno.test("readSettings() lets a flag win over its variable", () => {
  const env = { BACKENDS: A, PORT: "nonsense", HEALTH_PATH: "/a" };
  const { serve, proxy } = usable(env, ["--port=81", "--health-path", "/b"]);
  assert.equal(serve.port, 81);
  assert.deepEqual(proxy.health, { path: "/b" });
});

Deno.test("readSettings() takes an empty variable for an unset one", () => {
  const { serve } = usable({
    BACKENDS: A,
    PORT: "",
    HOST: " \n",
    HTTP_PROXY: "",
  });
  assert.deepEqual(serve, {});
});

Deno.test("readSettings() ignores space around a value", () => {
  assert.equal(usable({ BACKENDS: A, PORT: " 81\r\n" }).serve.port, 81);
});

Deno.test("readSettings() knows --help, --version and --check", () => {
  assert.deepEqual(settings({}, ["--help", "--nonsense"]), { kind: "help" });
  assert.deepEqual(settings({}, ["--version"]), { kind: "version" });
  assert.equal(usable({ BACKENDS: A }, ["--check"]).kind, "check");
});

Deno.test("readSettings() collects all faults", () => {
  const found = faults(
    { BACKENDS: "a:1,b:2", PORT: "x", TIMEOUT: "y", HEALTH_TIMEOUT: "9s" },
    ["--nonsense"],
  );
  assert.equal(found.length, 6);
});

Deno.test("readSettings() does not compare a setting that cannot be read", () => {
  const found = faults({
    BACKENDS: A,
    HEALTH_INTERVAL: "x",
    HEALTH_TIMEOUT: "9s",
  });
  assert.equal(found.length, 1);
});

Deno.test("readSettings() keeps a fault on one line without control characters", () => {
  const [fault] = faults({ BACKENDS: A, PORT: "1\n2\x1b[2J\u2028\u202e3" });
  assert.match(fault!, /^PORT: "1 2 \[2J 3" is not a port/);
});

Deno.test("readSettings() cuts a long value", () => {
  const [fault] = faults({ BACKENDS: A, PORT: "1".repeat(1000) });
  assert.ok(fault!.length < 300);
});

Deno.test("readSettings() reads the backends of BACKENDS_FILE", () => {
  const text = `# the pool\n${A} weight=2 # big\n\nhttp://b.test\n`;
  const config = usable({ BACKENDS_FILE: "/b" }, [], { "/b": text });
  assert.equal(config.backendsFile, "/b");
  assert.deepEqual(config.proxy.backends, [
    { url: A, weight: 2 },
    { url: "http://b.test" },
  ]);
});

Deno.test("readSettings() refuses the admin port where it cannot be listened on", () => {
  const cases: [env: Record<string, string>, refused: boolean][] = [
    [{ ADMIN_PORT: "8080" }, true],
    [{ ADMIN_PORT: "0", PORT: "0" }, false],
    [{ ADMIN_PORT: "8080", HOST: "10.0.0.1" }, false],
    [{ ADMIN_PORT: "8080", HOST: "localhost" }, true],
    [{ ADMIN_PORT: "8080", HOST: "127.0.0.2" }, false],
    [{ ADMIN_PORT: "8080", HOST: "10.0.0.1", ADMIN_HOST: "::" }, true],
    [{ ADMIN_PORT: "8080", ADMIN_HOST: "127.0.0.1,admin.test" }, true],
  ];
  for (const [env, refused] of cases) {
    const { kind } = settings({ BACKENDS: A, ...env });
    assert.equal(kind === "faults", refused, JSON.stringify(env));
  }
});

Deno.test("readSettings() ignores variables of other programs", () => {
  usable({
    BACKENDS: A,
    HOSTS: "x",
    POST: "x",
    HOME: "/",
    TRACES: "1",
    BACKEND: "b",
  });
});

Deno.test("readSettings() ignores a similar name if the right one is set", () => {
  usable({ BACKENDS: A, RETRY: "1", RETRIES: "1", TIMEOUTS: "" });
});

Deno.test("readSettings() refuses a redirect port that is another listener's", () => {
  const cases: [env: Record<string, string>, wants: RegExp | undefined][] = [
    [{}, undefined],
    [{ PORT: "80" }, /^REDIRECT_PORT: "80" is also PORT/],
    [{ ADMIN_PORT: "80" }, undefined],
    [{ ADMIN_PORT: "80", HOST: "::" }, /is also ADMIN_PORT/],
    [{ REDIRECT_PORT: "0", PORT: "0" }, undefined],
    [{ REDIRECT_PORT: "off", PORT: "80" }, undefined],
  ];
  const files = { "/cert": CERT, "/key": KEY };
  for (const [env, wants] of cases) {
    const config = settings(
      {
        BACKENDS: A,
        HOST: "10.0.0.1",
        TLS_CERT: "/cert",
        TLS_KEY: "/key",
        REDIRECT_PORT: "80",
        ...env,
      },
      [],
      files,
    );
    const found = config.kind === "faults" ? config.faults : [];
    assert.equal(found.length, wants === undefined ? 0 : 1, `${found}`);
    if (wants !== undefined) assert.match(found[0]!, wants);
  }
});

Deno.test("readSettings() asks for BACKEND where variables may not be listed", () => {
  const env = (name: string) => name === "BACKEND" ? A : undefined;
  const config = readSettings([], env, undefined, () => "");
  assert.ok(config.kind === "faults");
  assert.match(config.faults[0]!, /but BACKEND is/);
});

Deno.test("readSettings() warns of an admin port that others can reach", () => {
  const cases: [env: Record<string, string>, warning: RegExp | undefined][] = [
    [{ ADMIN_HOST: "127.0.0.1" }, undefined],
    [{ ADMIN_HOST: "::1" }, undefined],
    [{ ADMIN_HOST: "localhost,sluice.internal" }, undefined],
    [{ ADMIN_HOST: "0.0.0.0", ADMIN_PORT: "off" }, undefined],
    [{ ADMIN_HOST: "0.0.0.0" }, /^ADMIN_HOST: .* 0\.0\.0\.0 .* TLS: keep/],
    [{ ADMIN_HOST: "::" }, /^ADMIN_HOST: /],
    [{ ADMIN_HOST: "admin.test" }, /^ADMIN_HOST: /],
    [
      { ADMIN_HOST: "10.0.0.1", ADMIN_TOKEN: "0123456789abcdef" },
      /token is sent in the clear/,
    ],
  ];
  for (const [env, warning] of cases) {
    const { warnings } = usable({ BACKENDS: A, ADMIN_PORT: "9000", ...env });
    assert.equal(warnings.length, warning === undefined ? 0 : 1, `${warnings}`);
    if (warning !== undefined) assert.match(warnings[0]!, warning);
  }
});
