import assert from "node:assert/strict";
import { CERT, KEY, KEY_SEC1 } from "../testing/certificates.ts";
import { A, faults, usable } from "../testing/settings.ts";

Deno.test("readSettings() shows no credentials wherever a URL was put", () => {
  const url = "http://user:hunter2@a";
  const found = faults({ BACKENDS: A, HOST: url, POLICY: url }, [url]);
  assert.equal(found.length, 3);
  for (const fault of found) assert.match(fault, /"http:\/\/\*\*\*@a"/);
});

// The token was quoted in each of these, for all who read the log of a start.
Deno.test("readSettings() does not quote a token that is misplaced", () => {
  const token = "hunter2-hunter2-hunter2";
  const cases: string[][] = [
    ["--admin-tokn", token],
    ["--admin-tokn", `--${token}`],
    [`ADMIN_TOKEN=${token}`],
    [`admin-token=${token}`],
    ["ADMIN_TOKEN", token],
    ["admin-token", "hunter2", "hunter2"],
    ["--admin-token=", token],
    ["--admin-token", "hunter2 hunter2"],
    ["--admin-token", "hunter2", "hunter2", "hunter2"],
    ["--admin-token", `--${token}`, "hunter2"],
    [`--admin-token:${token}`],
    [`--admin-token${token}`],
    [`--admin_token ${token}`],
    [`-admin-token`, token],
    ["--token", `--${token}`],
    ["--admin-token", "--check", token],
    [token],
    [`--${token}`],
    [`-${token}`],
    ["--admin-token", token, "--admin-token", token],
    ["--health-path", "/x?key=hunter2 y"],
  ];
  for (const args of cases) {
    const found = faults({ BACKENDS: A }, args);
    assert.ok(found.length > 0, args.join(" "));
    assert.doesNotMatch(found.join("\n"), /hunter/, args.join(" "));
  }
});

Deno.test("readSettings() does not quote the query of a backend", () => {
  const [fault] = faults({ BACKENDS: "http://a/x?key=hunter2 weight=3" });
  assert.match(fault!, /"http:\/\/a\/x\?\*\*\*" has a query/);
});

Deno.test("readSettings() takes a token that begins like a flag", () => {
  const token = "--0123456789abcdef";
  const { serve } = usable({ BACKENDS: A, ADMIN_PORT: "9000" }, [
    "--admin-token",
    token,
  ]);
  assert.equal(serve.admin && serve.admin.token, token);
});

Deno.test("readSettings() shows the settings in effect without secrets", () => {
  const { values } = usable({
    BACKENDS: A,
    ADMIN_TOKEN: "0123456789abcdef",
    HEALTH_PATH: "/up?key=hunter2",
  });
  assert.equal(values.ADMIN_TOKEN, "***");
  assert.equal(values.HEALTH_PATH, "/up?***");
  assert.equal(values.TIMEOUT, "60s");
  assert.equal(values.TLS_CERT, undefined);
});

// The first lines of any file were printed that the variable was pointed at.
Deno.test("readSettings() quotes only lines of BACKENDS_FILE that look like a backend", () => {
  const cases: [text: string, shown: RegExp | undefined][] = [
    ["root:x:0:0:root:/root:/bin/hunter2\n", undefined],
    ["ADMIN_TOKEN=hunter2\nKEY: hunter2\n", undefined],
    ['{ "password": "hunter2" }\n', undefined],
    [KEY + "hunter2\n", undefined],
    ["hunter2-hunter2-hunter2-hunter2-hunter2.hunter2\n", undefined],
    [
      "postgres://me:hunter2@db/x?password=hunter2\n",
      /"postgres:\/\/\*\*\*@db\/x\?\*\*\*" has an unsupported scheme/,
    ],
    [
      "http://me:hunter2@app.test/x?key=hunter2\n",
      /\*\*\*@app\.test\/x\?\*\*\*/,
    ],
    [
      "http://app.test token=hunter2\n",
      /"http:\/\/app\.test" has an unknown word/,
    ],
    [
      "app.test:80\n",
      /"app\.test:80" has no scheme: write http:\/\/app\.test$/,
    ],
  ];
  for (const [text, shown] of cases) {
    const found = faults({ BACKENDS_FILE: "/b" }, [], { "/b": text });
    assert.doesNotMatch(found.join("\n"), /hunter|MI[GI]/, text);
    if (shown === undefined) {
      assert.match(
        found[0]!,
        /^BACKENDS_FILE: line 1 is not a backend: write http/,
      );
    } else assert.match(found[0]!, shown);
  }
});

// Secrets of containers are often put into the variable itself. The key was shown
// twice then: as the value, and in the system's message on the path.
Deno.test("readSettings() does not show PEM given in place of a path", () => {
  for (const text of [KEY, KEY.replaceAll("\n", "\\n"), KEY_SEC1, ` ${CERT}`]) {
    for (const name of ["TLS_KEY", "BACKEND_CA", "BACKENDS_FILE"]) {
      const env = { TLS_CERT: "/cert", [name]: text };
      const found = faults(
        name === "BACKENDS_FILE" ? env : { BACKENDS: A, ...env },
        [],
        { "/cert": CERT },
      );
      assert.ok(
        found.some((fault) =>
          fault === `${name}: "***" contains PEM: ` +
              "write the path of the file instead"
        ),
      );
      assert.doesNotMatch(found.join(), /MI[GIH]|BEGIN/);
    }
  }
  const [fault] = faults({ BACKENDS: A, PORT: KEY });
  assert.match(fault!, /^PORT: "\*\*\*" is not a port/);
});
