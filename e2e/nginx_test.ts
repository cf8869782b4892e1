/**
 * What curl gets from a real nginx for responses without a body: conditional
 * requests, HEAD and empty responses, directly and through the proxy.
 *
 * @module
 */

import assert from "node:assert/strict";
import { curl } from "./harness/curl.ts";
import { startNginx } from "./harness/nginx.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth, skippedWithout } from "./harness/suite.ts";

/** Status and the fields about the body, of each head that curl printed. */
function heads(text: string): string[] {
  return text.split(/\r\n\r\n/).filter((head) => /^HTTP/.test(head)).map(
    (head) => {
      const [line, ...fields] = head.split("\r\n");
      const told = fields.map((field) => field.toLowerCase())
        .filter((field) =>
          /^(?:content-|etag|last-modified|location|allow)/.test(field)
        );
      return [line!.replace(/^HTTP\/\S+ (\d+).*$/, "$1"), ...told.sort()]
        .join("; ");
    },
  );
}

const SERVER = `
  location = /empty { return 204; }
  location = /moved { return 301 /a.css; }
  location = /gif { empty_gif; }
`;

// A conditional HEAD to nginx was a 500 on Deno: its 304 has no length.
forBoth(
  "curl gets the same responses without a body from nginx and through the proxy",
  skippedWithout("nginx", "curl"),
  async (runtime) => {
    await using nginx = await startNginx(SERVER);
    await Deno.writeTextFile(`${nginx.folder}/www/a.css`, "a { b: c }\n");
    await Deno.writeTextFile(`${nginx.folder}/www/zero.css`, "");
    const [etag] = /(?<=etag: ).*?(?=\r)/i.exec(
      await curl("-I", `${nginx.url}/a.css`),
    )!;
    const asked = [
      ["-H", `If-None-Match: ${etag}`],
      ["-H", "If-None-Match: *"],
      ["-H", `If-None-Match: ${etag}`, "-H", "Accept-Encoding: gzip"],
      ["-z", "2099-01-01"],
      ["-H", "Range: bytes=2-4"],
      ["-H", "Range: bytes=99-"],
      ["-H", 'If-Match: "other"'],
      [],
    ].flatMap((options) => [options, ["-I", ...options]]);
    for (const env of [{}, { REQUEST_ID: "on" }]) {
      await using proxy = await startProxy(runtime, {
        env: { BACKENDS: nginx.url, HEALTH_PATH: "off", ...env },
      });
      // All on one connection: each is followed by one that has a body.
      const paths = ["a.css", "zero.css", "gif", "empty", "moved"]
        .flatMap((path) => [path, "a.css"]).concat("missing", "a.css");
      const ask = (origin: string, ...options: string[]) =>
        curl(
          ...["-i", "-w", "\r\n\r\n%{num_connects} connections\r\n\r\n"],
          ...options,
          ...paths.map((path) => `${origin}/${path}`),
        );
      for (const options of asked) {
        const said = await ask(nginx.url, ...options);
        // What names nginx has to name the proxy.
        const wanted = heads(said.replaceAll(nginx.url, proxy.url));
        const what = options.join(" ");
        const got = await ask(proxy.url, ...options);
        assert.deepEqual(heads(got), wanted, what);
        const connections = [...got.matchAll(/(\d+) connections/g)];
        assert.equal(connections.length, paths.length, what);
        const opened = connections.reduce((sum, [, n]) => sum + Number(n), 0);
        assert.equal(opened, 1, what);
      }
      assert.equal(proxy.stderr.length, 1, proxy.log);
    }
  },
);
