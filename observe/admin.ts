/**
 * The admin API: a handler for a listener of its own.
 *
 * Reading is free to whoever can connect, changing takes the token. A browser is
 * the one caller that can be made to ask for somebody else: no answer may be
 * read across origins (no CORS), no change can be made without a header that a
 * foreign page cannot send, and a name that was made to point here (DNS
 * rebinding) is refused by its `Host`.
 *
 * @module
 */

import type { Backend, BackendInit, Pool } from "../balancer.ts";
import type { ProbeReport } from "../health.ts";
import type { CertificateFacts } from "../config/certificate.ts";
import type { Clock } from "../runtime/clock.ts";
import { backendJson } from "./backend_json.ts";
import { dashboard } from "./dashboard.ts";
import { EventLog, frame } from "./events.ts";
import { FigureKeeper } from "./figures.ts";
import type { Snapshot } from "./metrics.ts";
import type { ProbeHistory } from "./probes.ts";
import {
  type ProcessFacts,
  PROMETHEUS_TYPE,
  prometheusText,
} from "./prometheus.ts";
import { tokenCheck } from "./token.ts";

/** Options for {@linkcode Admin}. */
export interface AdminOptions {
  /** The backends. */
  pool: Pool;
  /** What is known of a backend's probes. */
  report: (backend: Backend) => ProbeReport | undefined;
  /** The last probes of each backend. */
  probes: ProbeHistory;
  /** The counters, now; of all processes, if there are several. */
  snapshot: () => Snapshot | Promise<Snapshot>;
  /** Checks the URL of a new backend and gives its normal form. */
  checkUrl: (url: string) => { value: string } | { wanted: string };
  /** Whether the proxy is about to stop. */
  draining: () => boolean;
  /** The certificate that new connections are shown. Default: none. */
  certificate?: (() => CertificateFacts | undefined) | undefined;
  /** The process. */
  process: () => ProcessFacts;
  /** Version of this program. */
  version: string;
  /** Name of the policy, for the dashboard. */
  policy: string;
  /** What changes need; none for no changes. */
  token: string | undefined;
  /** Address or name that is listened on. */
  host: string;
  /** Time and timers. */
  clock: Clock;
  /** Takes a line for the log. */
  log: (line: string) => void;
}

/** Bytes of a request body. */
const MOST_BODY = 16 * 1024;

/** A request that is refused, and why. */
class Refused extends Error {
  constructor(
    readonly status: number,
    sentence: string,
    readonly fields: Record<string, string> = {},
  ) {
    super(sentence);
  }
}

/** What a route does with a request. */
interface Route {
  /** Whether it is for browsers, and so picky about `Host`. */
  guarded: boolean;
  methods: Readonly<
    Record<string, (request: Request, query: string) => Answer>
  >;
}

type Answer = Response | Promise<Response>;

/** Answers what comes to the admin port. */
export class Admin {
  readonly #options: AdminOptions;
  readonly #knows: ((given: string) => boolean) | undefined;
  readonly #events: EventLog;
  readonly #figures: FigureKeeper;
  readonly #routes: Readonly<Record<string, Route>>;

  /** Begins to remember events and figures. */
  constructor(options: AdminOptions) {
    const { token, pool, clock, snapshot, report } = options;
    this.#options = options;
    this.#knows = token === undefined ? undefined : tokenCheck(token);
    this.#events = new EventLog(pool, {
      clock,
      tell: (backend) => backendJson(backend, report(backend)),
    });
    this.#figures = new FigureKeeper({
      snapshot,
      clock,
      tick: (figures) =>
        this.#events.figures({ ...figures, probes: options.probes.fresh() }),
    });
    this.#figures.start();
    this.#routes = {
      "/": { guarded: true, methods: { GET: () => this.#page() } },
      "/backends": {
        guarded: true,
        methods: {
          GET: () => this.#list(),
          POST: (request) => this.#add(request),
        },
      },
      "/events": {
        guarded: true,
        methods: { GET: (request, query) => this.#stream(request, query) },
      },
      "/metrics": { guarded: false, methods: { GET: () => this.#metrics() } },
      "/livez": { guarded: false, methods: { GET: () => text(200, "live") } },
      "/readyz": { guarded: false, methods: { GET: () => this.#readiness() } },
    };
  }

  /** Ends timers and streams. */
  stop(): void {
    this.#figures.stop();
    this.#events.stop();
  }

  /** Answers a request. Never rejects. */
  async handle(request: Request): Promise<Response> {
    try {
      return await this.#route(request);
    } catch (error) {
      if (error instanceof Refused) {
        return json(error.status, { error: error.message }, error.fields);
      }
      this.#options.log(`cannot answer on the admin port: ${String(error)}`);
      return json(500, { error: "Internal error." });
    }
  }

  #route(request: Request): Answer {
    const { path, query, authority } = partsOf(request.url);
    const route = this.#routes[path] ?? this.#backendRoute(path);
    if (route === undefined) {
      throw new Refused(404, "There is nothing at this path.");
    }
    const host = request.headers.get("host") ?? authority;
    if (route.guarded && !this.#isOurs(host)) {
      throw new Refused(
        421,
        "This host name is not served here: use an address, localhost or ADMIN_HOST.",
      );
    }
    const method = request.method === "HEAD" ? "GET" : request.method;
    const answerer = Object.hasOwn(route.methods, method)
      ? route.methods[method]
      : undefined;
    if (answerer === undefined) {
      const allow = Object.keys(route.methods).join(", ")
        .replace("GET", "GET, HEAD");
      throw new Refused(405, `This path takes ${allow}.`, { allow });
    }
    if (method !== "GET") this.#authorize(request);
    return answerer(request, query);
  }

  /** The route of one backend, which is known by its id. */
  #backendRoute(path: string): Route | undefined {
    const [, id] = /^\/backends\/([^/]+)$/.exec(path) ?? [];
    if (id === undefined) return undefined;
    const find = () => {
      const backend = this.#options.pool.backends.find((b) => b.id === id);
      if (backend !== undefined) return backend;
      throw new Refused(404, "There is no backend of this id.");
    };
    return {
      guarded: true,
      methods: {
        GET: () => json(200, this.#tell(find())),
        PATCH: (request) => this.#change(find, request),
        DELETE: () => this.#remove(find()),
      },
    };
  }

  /**
   * Whether a `Host` can only mean this listener. A page at `evil.example` whose
   * name has been made to point here sends that name; an address cannot be
   * made to point anywhere.
   */
  #isOurs(host: string | undefined): boolean {
    const [, name = ""] =
      /^(\[[0-9a-f:.]+\]|[^:]+)(?::\d{1,5})?$/i.exec(host ?? "") ?? [];
    const lower = name.toLowerCase();
    return lower.startsWith("[") || /^\d{1,3}(\.\d{1,3}){3}$/.test(lower) ||
      lower === "localhost" || lower === this.#options.host.toLowerCase();
  }

  #authorize(request: Request): void {
    if (this.#knows === undefined) {
      throw new Refused(
        403,
        "Changes are off: start the proxy with ADMIN_TOKEN to switch them on.",
      );
    }
    const [, token] =
      /^Bearer +(\S+) *$/i.exec(request.headers.get("authorization") ?? "") ??
        [];
    if (token === undefined || !this.#knows(token)) {
      throw new Refused(
        401,
        "A change needs the token: send Authorization: Bearer and ADMIN_TOKEN.",
        { "www-authenticate": 'Bearer realm="sluice"' },
      );
    }
  }

  #tell(backend: Backend): ReturnType<typeof backendJson> {
    return backendJson(backend, this.#options.report(backend));
  }

  #page(): Response {
    const { version, policy, token } = this.#options;
    const nonce = crypto.randomUUID();
    const html = dashboard({
      version,
      policy,
      nonce,
      changes: token !== undefined,
    });
    return new Response(html, {
      headers: {
        ...SAFE,
        "content-type": "text/html; charset=utf-8",
        "content-security-policy":
          `default-src 'none'; script-src 'nonce-${nonce}'; ` +
          `style-src 'nonce-${nonce}'; connect-src 'self'; ` +
          "img-src data:; base-uri 'none'; form-action 'none'; " +
          "frame-ancestors 'none'",
      },
    });
  }

  #list(): Response {
    const backends = this.#options.pool.backends.map((b) => this.#tell(b));
    return json(200, { backends });
  }

  async #add(request: Request): Promise<Response> {
    const fields = await bodyOf(request, {
      url: "a text",
      weight: "a whole number from 0 to 1000",
      backup: "true or false",
      maxConns: "a whole number from 1 to 1000000",
    });
    if (fields.url === undefined) throw new Refused(400, '"url" is missing.');
    const url = this.#options.checkUrl(fields.url as string);
    if ("wanted" in url) throw new Refused(400, `"url" ${url.wanted}.`);
    const init: BackendInit = {
      url: url.value,
      weight: fields.weight as number | undefined,
      backup: fields.backup as boolean | undefined,
      maxConns: fields.maxConns as number | undefined,
    };
    const { pool, log } = this.#options;
    if (pool.get(init.url) !== undefined) {
      throw new Refused(409, "A backend with this URL is in the pool already.");
    }
    const backend = pool.add(init);
    log(`backend ${backend.url} was added by the admin API`);
    return json(201, this.#tell(backend), {
      location: `/backends/${backend.id}`,
    });
  }

  async #change(find: () => Backend, request: Request): Promise<Response> {
    find();
    const { weight, draining } = await bodyOf(request, {
      weight: "a whole number from 0 to 1000",
      draining: "true or false",
    });
    if (weight === undefined && draining === undefined) {
      throw new Refused(400, 'Nothing to change: send "weight" or "draining".');
    }
    const { pool, log } = this.#options;
    // Looked for once more: it may have gone while the body was on its way.
    const backend = find();
    if (weight !== undefined && weight !== backend.weight) {
      pool.setWeight(backend, weight as number);
      log(`backend ${backend.url} has weight ${weight} by the admin API`);
    }
    if (draining !== undefined && draining !== backend.draining) {
      pool.drain(backend, draining as boolean);
      const what = draining ? "is draining" : "is no longer draining";
      log(`backend ${backend.url} ${what} by the admin API`);
    }
    return json(200, this.#tell(backend));
  }

  #remove(backend: Backend): Response {
    const { pool, log } = this.#options;
    pool.remove(backend);
    log(`backend ${backend.url} was removed by the admin API`);
    return new Response(null, { status: 204, headers: SAFE });
  }

  #stream(request: Request, query: string): Response {
    const wants = new URLSearchParams(query);
    const history = wants.get("history") === "on";
    const headers = {
      ...SAFE,
      "content-type": "text/event-stream",
      // nginx, when it stands in front, would hold events back.
      "x-accel-buffering": "no",
    };
    if (request.method === "HEAD") return new Response(null, { headers });
    const body = this.#events.read({
      after: request.headers.get("last-event-id") ?? undefined,
      past: history,
      figures: wants.get("figures") !== "off",
      first: history ? frame("history", this.#history()) : "",
    });
    if (body === undefined) {
      throw new Refused(503, "Too many read the events already.", {
        "retry-after": "5",
      });
    }
    return new Response(body as ReadableStream<Uint8Array<ArrayBuffer>>, {
      headers,
    });
  }

  /** What the dashboard begins with. */
  #history(): unknown {
    const { pool, probes } = this.#options;
    const kept = this.#figures.kept;
    const backends: Record<string, unknown> = {};
    for (const backend of pool) {
      const of = kept.map(({ backends }) => backends[backend.id]);
      backends[backend.id] = {
        requestsPerSecond: of.map((b) => b?.requestsPerSecond ?? 0),
        latencyMs: of.map((b) => b?.latencyMs ?? null),
        probes: probes.of(backend),
      };
    }
    return {
      all: kept.map((figures) => ({ ...figures, backends: undefined })),
      backends,
    };
  }

  async #metrics(): Promise<Response> {
    const { pool, report, draining, version } = this.#options;
    const page = prometheusText(await this.#options.snapshot(), {
      backends: pool,
      report,
      draining: draining(),
      certificate: this.#options.certificate?.(),
      version,
      process: this.#options.process(),
    });
    return new Response(page, {
      headers: { ...SAFE, "content-type": PROMETHEUS_TYPE },
    });
  }

  #readiness(): Response {
    if (this.#options.draining()) return text(503, "draining");
    const { pool } = this.#options;
    // An ejected one is used when there is no other, so it counts.
    const any = pool.backends.some((b) => b.up && !b.draining && b.weight > 0);
    return any ? text(200, "ready") : text(503, "no backend is available");
  }
}

/** Fields of every answer. */
const SAFE: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  // No other page may take these in, as a script or a picture either.
  "cross-origin-resource-policy": "same-origin",
};

function json(
  status: number,
  value: unknown,
  fields: Record<string, string> = {},
): Response {
  return new Response(`${JSON.stringify(value)}\n`, {
    status,
    headers: {
      ...SAFE,
      "content-type": "application/json; charset=utf-8",
      ...fields,
    },
  });
}

function text(status: number, sentence: string): Response {
  return new Response(`${sentence}\n`, {
    status,
    headers: { ...SAFE, "content-type": "text/plain; charset=utf-8" },
  });
}

/** The parts of a URL as the runtimes give it: it need not be one. */
function partsOf(
  url: string,
): { path: string; query: string; authority: string | undefined } {
  const [, authority, path = "/", query = ""] =
    /^(?:https?:\/\/([^/?#]*))?([^?#]*)(?:\?([^#]*))?/i.exec(url) ?? [];
  return { path: path === "" ? "/" : path, query, authority };
}

/** What a field may be, by the words that say so. */
const KINDS: Readonly<Record<string, (value: unknown) => boolean>> = {
  "a text": (value) => typeof value === "string",
  "true or false": (value) => typeof value === "boolean",
  "a whole number from 0 to 1000": whole(0, 1000),
  "a whole number from 1 to 1000000": whole(1, 1_000_000),
};

function whole(min: number, max: number): (value: unknown) => boolean {
  return (value) =>
    Number.isInteger(value) && value as number >= min && value as number <= max;
}

/** A request's body as an object that has no fields but these, of these kinds. */
async function bodyOf<Name extends string>(
  request: Request,
  kinds: Readonly<Record<Name, keyof typeof KINDS>>,
): Promise<Partial<Record<Name, unknown>>> {
  let value: unknown;
  try {
    value = JSON.parse(await textOf(request));
  } catch (error) {
    if (error instanceof Refused) throw error;
    throw new Refused(400, "The body is not JSON.");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Refused(400, "The body is not a JSON object.");
  }
  for (const [name, given] of Object.entries(value)) {
    if (!Object.hasOwn(kinds, name)) {
      const known = Object.keys(kinds).map((k) => `"${k}"`).join(", ");
      throw new Refused(
        400,
        `There is no field ${JSON.stringify(name.slice(0, 40))}: ` +
          `this takes ${known}.`,
      );
    }
    const kind = kinds[name as Name];
    if (!KINDS[kind]!(given)) {
      throw new Refused(400, `"${name}" is not ${kind}.`);
    }
  }
  return value as Partial<Record<Name, unknown>>;
}

/** A request's body as text, up to a bound. */
async function textOf(request: Request): Promise<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  let size = 0;
  for await (const piece of request.body ?? []) {
    size += piece.byteLength;
    if (size > MOST_BODY) {
      throw new Refused(413, `The body is over ${MOST_BODY} bytes.`, {
        connection: "close",
      });
    }
    text += decoder.decode(piece, { stream: true });
  }
  return text + decoder.decode();
}
