// Other proxies, at pinned versions from npm or from the system's packages.
// They are fetched into a folder that git ignores and are measured, never
// imported.

import { bunPath, denoPath, inPath, npmTool, ROOT } from "../testing/tools.ts";
import { answers, child, type Contender, freePort } from "./harness.ts";

/** Another proxy, in front of these backends. */
export type Peer = (backends: readonly string[]) => Contender;

/**
 * Alternates between the backends: source text for the start of each program.
 */
const PICK = `
const [port, ...backends] = process.argv.slice(2);
let turn = 0;
const pick = () => backends[turn++ % backends.length];
`;

const HONO = `
import process from "node:process";
import { Hono } from "hono";
import { proxy } from "hono/proxy";
${PICK}
const app = new Hono();
app.all("*", (c) => {
  const url = c.req.url;
  return proxy(pick() + url.slice(url.indexOf("/", 8)), c.req);
});
const options = { port: Number(port), hostname: "127.0.0.1" };
if (globalThis.Bun) Bun.serve({ ...options, fetch: app.fetch });
else Deno.serve({ ...options, onListen() {} }, app.fetch);
`;

const HTTPXY = `
import process from "node:process";
import http from "node:http";
import { createProxyServer } from "httpxy";
${PICK}
const agent = new http.Agent({ keepAlive: true });
const proxy = createProxyServer({ agent });
http.createServer((req, res) =>
  proxy.web(req, res, { target: pick() }).catch(() => res.writeHead(502).end())
).listen(Number(port), "127.0.0.1");
`;

const HTTP_PROXY_3 = `
import process from "node:process";
import http from "node:http";
import { createProxyServer } from "http-proxy-3";
${PICK}
const agent = new http.Agent({ keepAlive: true });
const proxy = createProxyServer({ agent });
http.createServer((req, res) =>
  proxy.web(req, res, { target: pick() }, () => res.writeHead(502).end())
).listen(Number(port), "127.0.0.1");
`;

/** Fastify itself, which its proxy does not bring along. */
const FASTIFY_VERSION = "5.12.8";

const FASTIFY = `
import process from "node:process";
import Fastify from "FASTIFY_PATH";
import httpProxy from "@fastify/http-proxy";
${PICK}
const app = Fastify();
app.register(httpProxy, {
  upstream: "",
  replyOptions: { getUpstream: pick },
});
app.listen({ port: Number(port), host: "127.0.0.1" });
`;

/** Starts a program and waits until it answers. */
function started(
  name: string,
  against: string | undefined,
  command: (
    port: number,
    backends: readonly string[],
  ) => Promise<{
    command: string;
    args: string[];
    env?: Record<string, string>;
    /** Goes when the program does. */
    folder?: string;
  }>,
): Peer {
  return (backends) => ({
    name,
    ...(against === undefined ? {} : { against }),
    async start() {
      const port = freePort();
      const { command: program, args, env, folder } = await command(
        port,
        backends,
      );
      const started = child(program, args, port, env);
      const running = {
        ...started,
        async [Symbol.asyncDispose]() {
          await started[Symbol.asyncDispose]();
          if (folder !== undefined) {
            await Deno.remove(folder, { recursive: true });
          }
        },
      };
      try {
        await answers(port);
      } catch (error) {
        await running[Symbol.asyncDispose]();
        throw error;
      }
      return running;
    },
  });
}

function onRuntime(
  runtime: "deno" | "bun" | "node",
  label: string,
  [name, version]: readonly [string, string],
  text: string,
): Peer {
  const against = runtime === "node" ? undefined : `five-liner, ${runtime}`;
  return started(`${label}, ${runtime}`, against, async (port, backends) => {
    const { modules } = await npmTool(name, version);
    // Beside the packages that it imports.
    const file = `${modules}/../sluice-bench.mjs`;
    const fastify = text.includes("FASTIFY_PATH")
      ? `${
        (await npmTool("fastify", FASTIFY_VERSION)).modules
      }/fastify/fastify.js`
      : "";
    await Deno.writeTextFile(file, text.replace("FASTIFY_PATH", fastify));
    const rest = [file, String(port), ...backends];
    if (runtime === "deno") {
      const flags = ["-A", "--no-config", "--node-modules-dir=manual"];
      return { command: await denoPath(), args: ["run", ...flags, ...rest] };
    }
    if (runtime === "bun") {
      return { command: await bunPath(), args: ["run", ...rest] };
    }
    return { command: "node", args: rest };
  });
}

/** Go's own reverse proxy, as in most tutorials, on one core. */
const GO = `package main

import (
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync/atomic"
	"time"
)

func main() {
	var backends []*url.URL
	for _, text := range os.Args[2:] {
		backend, err := url.Parse(text)
		if err != nil {
			log.Fatal(err)
		}
		backends = append(backends, backend)
	}
	var turn uint64
	transport := &http.Transport{
		MaxIdleConns:        8192,
		MaxIdleConnsPerHost: 4096,
		IdleConnTimeout:     time.Hour,
		DisableCompression:  true,
	}
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Director: func(request *http.Request) {
			next := atomic.AddUint64(&turn, 1)
			backend := backends[next%uint64(len(backends))]
			request.URL.Scheme = backend.Scheme
			request.URL.Host = backend.Host
		},
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], proxy))
}
`;

const GO_PROXY = started(
  "Go ReverseProxy",
  undefined,
  async (port, backends) => {
    const go = inPath("go");
    if (go === undefined) throw new Error("go is not installed");
    const folder = `${ROOT}/.tools/go-reverse-proxy`;
    await Deno.mkdir(folder, { recursive: true });
    await Deno.writeTextFile(`${folder}/main.go`, GO);
    const { success, stderr } = await new Deno.Command(go, {
      args: ["build", "-o", `${folder}/proxy`, `${folder}/main.go`],
      env: { GOCACHE: `${folder}/cache`, GO111MODULE: "off" },
      stdin: "null",
    }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    return {
      command: `${folder}/proxy`,
      args: [String(port), ...backends],
      env: { GOMAXPROCS: "1" },
    };
  },
);

/** A server from the system's packages, with a configuration written for it. */
function system(
  name: string,
  configuration: (
    port: number,
    authorities: string[],
    folder: string,
  ) => string,
  args: (file: string) => string[],
): Peer {
  return started(name, undefined, async (port, backends) => {
    const command = inPath(name);
    if (command === undefined) throw new Error(`${name} is not installed`);
    const folder = await Deno.makeTempDir({ prefix: `sluice-bench-${name}-` });
    const file = `${folder}/conf`;
    const authorities = backends.map((url) => new URL(url).host);
    await Deno.writeTextFile(file, configuration(port, authorities, folder));
    return { command, args: args(file), folder };
  });
}

const NGINX = system(
  "nginx",
  (port, authorities, folder) =>
    `daemon off; master_process off; worker_processes 1; pid ${folder}/pid;
     error_log ${folder}/error.log;
     events { worker_connections 16384; }
     http { access_log off; keepalive_requests 100000000;
     ${
      ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) =>
        `${name}_temp_path ${folder}/${name};`
      ).join(" ")
    }
     upstream pool { ${
      authorities.map((a) => `server ${a};`).join(" ")
    } keepalive 64; keepalive_requests 100000000; }
     server { listen 127.0.0.1:${port}; location / {
     proxy_pass http://pool; proxy_http_version 1.1;
     proxy_set_header Connection ""; } } }`,
  (file) => ["-c", file],
);

const HAPROXY = system(
  "haproxy",
  (port, authorities) =>
    `global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  http-reuse always
frontend f
  bind 127.0.0.1:${port}
  default_backend b
backend b
${authorities.map((a, i) => `  server s${i} ${a}`).join("\n")}
`,
  (file) => ["-f", file],
);

const HONO_AT = ["hono", "4.13.19"] as const;
const HTTPXY_AT = ["httpxy", "0.5.6"] as const;
const HTTP_PROXY_3_AT = ["http-proxy-3", "2.0.1"] as const;
const FASTIFY_AT = ["@fastify/http-proxy", "11.6.3"] as const;

/** Their versions; none for a program that is not installed. */
export async function versions(): Promise<string> {
  const packages = [
    HONO_AT,
    HTTPXY_AT,
    HTTP_PROXY_3_AT,
    FASTIFY_AT,
    ["fastify", FASTIFY_VERSION],
  ].map(([name, version]) => `${name} ${version}`);
  const programs = [
    ["node", "--version"],
    ["go", "version"],
    ["nginx", "-v"],
    ["haproxy", "-v"],
  ] as const;
  const found = await Promise.all(programs.map(async ([name, ask]) => {
    const program = inPath(name);
    if (program === undefined) return [];
    const { stdout, stderr } = await new Deno.Command(program, {
      args: [ask],
      stdin: "null",
    }).output();
    const decoder = new TextDecoder();
    // nginx prints it to standard error.
    const said = decoder.decode(stdout) + decoder.decode(stderr);
    return [`${name} ${/\d+\.\d+[\d.]*/.exec(said)?.[0]}`];
  }));
  return [...packages, ...found.flat()].join(", ");
}

/** All of them; prints the names of those that are not available. */
export const PEERS: readonly Peer[] = [
  onRuntime("deno", "hono/proxy", HONO_AT, HONO),
  onRuntime("bun", "hono/proxy", HONO_AT, HONO),
  onRuntime("bun", "httpxy", HTTPXY_AT, HTTPXY),
  onRuntime("node", "httpxy", HTTPXY_AT, HTTPXY),
  onRuntime("deno", "httpxy", HTTPXY_AT, HTTPXY),
  onRuntime("bun", "http-proxy-3", HTTP_PROXY_3_AT, HTTP_PROXY_3),
  onRuntime("node", "http-proxy-3", HTTP_PROXY_3_AT, HTTP_PROXY_3),
  onRuntime("deno", "http-proxy-3", HTTP_PROXY_3_AT, HTTP_PROXY_3),
  onRuntime("node", "@fastify/http-proxy", FASTIFY_AT, FASTIFY),
  GO_PROXY,
  NGINX,
  HAPROXY,
];
