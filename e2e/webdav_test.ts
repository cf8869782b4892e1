/**
 * WebDAV through the proxy: COPY, MOVE and conditions have URLs in header
 * fields, and a server that gets the client's URL there looks for another file,
 * or answers that it is another server's.
 *
 * @module
 */

import assert from "node:assert/strict";
import { deadPort } from "./harness/backend.ts";
import { startProxy } from "./harness/proxy.ts";
import {
  answers,
  folder,
  nginx,
  Server,
  shell,
  takesUploads,
} from "./harness/servers.ts";
import { forBoth, skippedWithout } from "./harness/suite.ts";
import { Authority, HERE } from "./tls/certificates.ts";

const MODULES = "/usr/lib/apache2/modules";

/** Starts Apache with WebDAV on all of `site`, which only it may write to. */
async function apache(work: string, port: number): Promise<Server> {
  const site = `${work}/site`;
  await Deno.mkdir(site);
  await shell(`chmod 755 ${work}; mkdir ${work}/lock ${site}/base`);
  // Started as root, it serves as another user, which needs access.
  await shell(`chmod -R 777 ${site} ${work}/lock`);
  const modules = ["mpm_event", "authz_core", "dav", "dav_fs"].map((name) =>
    `LoadModule ${name}_module ${MODULES}/mod_${name}.so`
  );
  await Deno.writeTextFile(
    `${work}/apache.conf`,
    `${modules.join("\n")}
    ServerRoot ${work}
    PidFile ${work}/apache.pid
    ErrorLog ${work}/apache.log
    Listen 127.0.0.1:${port}
    ServerName files.test
    ${Deno.uid() === 0 ? "User www-data\nGroup www-data" : ""}
    DocumentRoot ${site}
    DavLockDB ${work}/lock/db
    <Directory ${site}>
      Dav On
      Require all granted
    </Directory>
    `,
  );
  const server = new Server(
    "apache2",
    ["-DFOREGROUND", "-f", `${work}/apache.conf`],
    work,
  );
  await answers(port);
  return server;
}

/** The status of one request by curl, which must be answered. */
async function curl(...args: string[]): Promise<number> {
  const line = [
    "curl",
    "-sS",
    "-o",
    "/dev/null",
    "-w",
    "%{http_code}",
    ...args,
  ];
  return Number(await shell(line.map((arg) => `'${arg}'`).join(" ")));
}

/** Files below a folder, with what is in them. */
async function filesOf(site: string): Promise<Record<string, string>> {
  const names = await shell(`cd ${site}; find . -type f | sort`);
  const files: Record<string, string> = {};
  for (const name of names.split("\n").filter((name) => name !== "")) {
    files[name.slice(2)] = await Deno.readTextFile(`${site}/${name}`);
  }
  return files;
}

/** Puts, copies, moves, locks and moves again, as a client does at `url`. */
async function work(
  url: string,
  site: string,
  { inside, locks, args = [] }: {
    /** The folder in which all of it must happen. */
    inside: string;
    /** Whether the server supports locks. */
    locks: boolean;
    args?: string[];
  },
): Promise<void> {
  await Deno.writeTextFile(`${site}/../upload.txt`, "a file\n");
  const ask = (method: string, path: string, ...more: string[]) =>
    curl(...args, "-X", method, ...more, `${url}${path}`);
  const to = (path: string) => ["-H", `Destination: ${url}${path}`];
  const put = await curl(
    ...args,
    "-T",
    `${site}/../upload.txt`,
    `${url}/a.txt`,
  );
  assert.equal(put, 201);
  // nginx answers 204 for a new file there.
  const done = locks ? 201 : 204;
  assert.equal(await ask("COPY", "/a.txt", ...to("/b%20c.txt")), done);
  assert.equal(await ask("MOVE", "/a.txt", ...to("/c.txt")), done);
  assert.deepEqual(await filesOf(site), {
    [`${inside}b c.txt`]: "a file\n",
    [`${inside}c.txt`]: "a file\n",
  });
  // A destination on another server is not changed.
  const elsewhere = ["-H", `Destination: https://other.test/d.txt`];
  const refused = await ask("MOVE", "/c.txt", ...elsewhere);
  assert.ok(refused >= 400, `${refused}`);
  // It does not leave the base path.
  const climbing = ["-H", `Destination: ${url}/..%2fd.txt`];
  if (inside !== "") {
    assert.equal(await ask("MOVE", "/c.txt", ...climbing), 400);
  }
  if (locks) {
    const head = await shell(
      `curl -sS -D - -o /dev/null ${
        args.join(" ")
      } -X LOCK -d '<?xml version="1.0"?><lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>' '${url}/c.txt'`,
    );
    const token = /^lock-token: (<.*>)/im.exec(head)![1]!;
    // The field names the locked file, which is not the requested one.
    assert.equal(await ask("DELETE", "/c.txt"), 423);
    const locked = ["-H", `If: <${url}/c.txt> (${token})`];
    assert.equal(await ask("MOVE", "/c.txt", ...to("/d.txt"), ...locked), 201);
  } else {
    assert.equal(await ask("MOVE", "/c.txt", ...to("/d.txt")), done);
  }
  assert.deepEqual(await filesOf(site), {
    [`${inside}b c.txt`]: "a file\n",
    [`${inside}d.txt`]: "a file\n",
  });
}

const WITH_APACHE = {
  timeoutMs: 120_000,
  ...skippedWithout("apache2", "curl", "bash", "openssl"),
};

// With a base path the file was written outside of it, and behind TLS Apache
// answered 502, as it was asked to move a file to another server.
for (const base of ["", "/base"]) {
  for (const secure of [false, true]) {
    const how = `${base === "" ? "without" : "with"} a base path, ${
      secure ? "TLS in front" : "without TLS"
    }`;
    forBoth(
      `Apache copies and moves files through it: ${how}`,
      WITH_APACHE,
      async (
        runtime,
      ) => {
        await using temp = await folder();
        const port = await deadPort();
        await using _server = await apache(temp.path, port);
        await using ca = await Authority.make();
        const { cert, key } = await ca.sign(HERE);
        await using proxy = await startProxy(runtime, {
          env: {
            BACKENDS: `http://127.0.0.1:${port}${base}`,
            HEALTH_PATH: "off",
            ...(secure
              ? {
                TLS_CERT: await ca.write("front.pem", cert),
                TLS_KEY: await ca.write("front.key", key),
              }
              : {}),
          },
          permissions: [`--allow-read=${ca.folder}`],
        });
        await work(
          `http${secure ? "s" : ""}://localhost:${proxy.port}`,
          `${temp.path}/site`,
          {
            inside: base === "" ? "" : "base/",
            locks: true,
            args: ["--cacert", `${ca.folder}/ca.pem`],
          },
        );
      },
    );
  }
}

// nginx compares the destination with the Host that it was sent.
forBoth("nginx copies and moves files through it, with a base path", {
  timeoutMs: 120_000,
  ...skippedWithout("nginx", "curl", "bash"),
  ...(takesUploads() ? {} : { skip: "nginx without its dav module" }),
}, async (runtime) => {
  await using temp = await folder();
  const port = await deadPort();
  await shell(`mkdir -p ${temp.path}/site/base`);
  await using _server = await nginx(
    temp.path,
    [port],
    `root ${temp.path}/site; dav_methods PUT DELETE MKCOL COPY MOVE;`,
  );
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: `http://127.0.0.1:${port}/base`, HEALTH_PATH: "off" },
  });
  await work(proxy.url, `${temp.path}/site`, { inside: "base/", locks: false });
});

forBoth("cadaver works with Apache through it", {
  timeoutMs: 120_000,
  ...skippedWithout("apache2", "cadaver", "bash"),
}, async (runtime) => {
  await using temp = await folder();
  const port = await deadPort();
  await using _server = await apache(temp.path, port);
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: `http://127.0.0.1:${port}`, HEALTH_PATH: "off" },
  });
  await Deno.writeTextFile(`${temp.path}/upload.txt`, "a file\n");
  await Deno.writeTextFile(
    `${temp.path}/script`,
    [
      `put ${temp.path}/upload.txt a.txt`,
      "mkcol sub",
      "copy a.txt sub/b.txt",
      "move a.txt c.txt",
      "lock c.txt",
      "move c.txt sub/d.txt",
      "ls",
      "quit",
      "",
    ].join("\n"),
  );
  const said = await shell(
    `HOME=${temp.path} cadaver ${proxy.url}/ < ${temp.path}/script 2>&1`,
  );
  assert.deepEqual(await filesOf(`${temp.path}/site`), {
    "sub/b.txt": "a file\n",
    "sub/d.txt": "a file\n",
  }, said);
});
