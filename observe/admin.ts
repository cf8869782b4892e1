/**
 * The admin API: a handler for its own listener.
 *
 * Reading is open to every host that can connect; changes require the token.
 * Browsers can be made to send requests for other sites, therefore: no response
 * can be read across origins (no CORS), no change works without a header that
 * other sites cannot send, and a name that was rebound to this machine (DNS
 * rebinding) is refused by its `Host`.
 *
 * @module
 */

import type { Backend, BackendInit, Pool } from "../balancer.ts";
import type { ProbeReport } from "../health.ts";
import type { Clock } from "../base/clock.ts";
import {
  bearerOf,
  bodyOf,
  json,
  partsOf,
  Refused,
  SAFE,
  text,
} from "./admin_http.ts";
import { backendJson } from "./backend_json.ts";
import { EventLog, frame } from "./events.ts";
import { FigureKeeper, type Figures } from "./figures.ts";
import { LastChanges } from "./last_changes.ts";
import type { Snapshot } from "./metrics.ts";
import type { ProbeHistory } from "./probes.ts";
import {
  type ProcessFacts,
  PROMETHEUS_TYPE,
  prometheusText,
  type State,
} from "./prometheus.ts";
import { tokenCheck } from "./token.ts";

/** Options for {@linkcode Admin}. */
export interface AdminOptions {
  /** The backends. */
  pool: Pool;
  /** What is known from a backend's probes. */
  report: (backend: Backend) => ProbeReport | undefined;
  /** The latest probes of each backend. */
  probes: ProbeHistory;
  /** The current counters, summed over all processes. */
  snapshot: () => Snapshot | Promise<Snapshot>;
  /** Checks and normalizes the URL of a new backend. */
  checkUrl: (url: string) => { value: string } | { wanted: string };
  /** Checks the name of a new backend. */
  checkName: (name: string) => { value: string } | { wanted: string };
  /** Whether the proxy is draining. */
  draining: () => boolean;
  /** The current server certificate. Default: none. */
  certificate?: (() => State["certificate"]) | undefined;
  /** The process. */
  process: () => ProcessFacts;
  /** Version of this program. */
  version: string;
  /** Name of the policy, for the dashboard. */
  policy: string;
  /** Name of the transport, for the dashboard. */
  transport: string;
  /** The token that changes require; `undefined`: no changes. */
  token: string | undefined;
  /** Whether a `Host` is one of this listener's names. */
  answersTo: (host: string) => boolean;
  /** The proxy's name in `Via`, if it has one. */
  pseudonym: string | undefined;
  /** Time and timers. */
  clock: Clock;
  /** Takes a line for the log. */
  log: (line: string) => void;
}

/** Maximum backends whose history a new reader gets. */
const MAX_HISTORY = 100;

/** The handlers of a path by method. */
type Route = Readonly<
  Record<string, (request: Request, query: string) => Answer>
>;

type Answer = Response | Promise<Response>;

/** Handles the requests to the admin port. */
export class Admin {
  readonly #options: AdminOptions;
  readonly #knows: ((given: string) => boolean) | undefined;
  readonly #changes: LastChanges;
  readonly #events: EventLog;
  readonly #figures: FigureKeeper;
  /** The certificate at the last tick. */
  #certificate: State["certificate"];
  readonly #routes: Readonly<Record<string, Route>>;

  /** Starts to keep events and figures. */
  constructor(options: AdminOptions) {
    const { token, pool, clock, snapshot } = options;
    this.#options = options;
    this.#knows = token === undefined ? undefined : tokenCheck(token);
    // First, since events include its data.
    this.#changes = new LastChanges(pool);
    this.#events = new EventLog(pool, {
      clock,
      describe: (backend) => this.#describe(backend),
    });
    this.#figures = new FigureKeeper({
      snapshot,
      clock,
      tick: (figures) => this.#tick(figures),
    });
    this.#certificate = options.certificate?.();
    this.#figures.start();
    this.#routes = {
      "/": { GET: () => this.#page() },
      "/backends": {
        GET: () => this.#list(),
        POST: (request) => this.#add(request),
      },
      "/events": { GET: (request, query) => this.#stream(request, query) },
      "/metrics": { GET: () => this.#metrics() },
      "/livez": { GET: () => text(200, "live") },
      "/readyz": { GET: () => this.#readiness() },
    };
  }

  /** Stops timers and event streams. */
  stop(): void {
    this.#figures.stop();
    this.#events.stop();
    this.#changes.stop();
  }

  #tick(figures: Figures): void {
    const { probes, certificate } = this.#options;
    const shown = certificate?.();
    if (shown?.expiresAt !== this.#certificate?.expiresAt) {
      // The first one is set after this listener was made, and is no change.
      if (shown !== undefined && this.#certificate !== undefined) {
        const day = new Date(shown.expiresAt).toISOString().slice(0, 10);
        this.#events.add("certificate", `it expires on ${day}`);
      }
      this.#certificate = shown;
    }
    this.#events.figures({
      ...figures,
      proxy: this.#facts(),
      probes: probes.fresh(),
    });
  }

  /** Facts about the proxy itself, for the dashboard. */
  #facts(): { draining: boolean; certificateExpiresAt: number | null } {
    return {
      draining: this.#options.draining(),
      certificateExpiresAt: this.#options.certificate?.()?.expiresAt ?? null,
    };
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
    this.#refuseStrangers(request.headers);
    const { path, query } = partsOf(request.url);
    const route = Object.hasOwn(this.#routes, path)
      ? this.#routes[path]!
      : this.#backendRoute(path);
    if (route === undefined) {
      throw new Refused(404, "There is no such path.");
    }
    const method = request.method === "HEAD" ? "GET" : request.method;
    const answerer = Object.hasOwn(route, method) ? route[method] : undefined;
    if (answerer === undefined) {
      const allow = Object.keys(route).join(", ").replace("GET", "GET, HEAD");
      throw new Refused(405, `This path allows ${allow}.`, { allow });
    }
    if (method !== "GET") this.#authorize(request);
    return answerer(request, query);
  }

  /** Refuses requests that were not meant for this listener. */
  #refuseStrangers(headers: Headers): void {
    const { answersTo, pseudonym } = this.#options;
    const host = headers.get("host");
    // RFC 9112 §3.2. Deno accepts such a request and makes up a host for it.
    if (host === null || host === "") {
      throw new Refused(400, "The Host field is missing.");
    }
    if (!answersTo(host)) {
      throw new Refused(
        421,
        "This host name is not served here: use an address, localhost or a name in ADMIN_HOST.",
      );
    }
    // The proxy forwards to its own admin port, by a name or an address that
    // the settings could not recognize: clients would see what is for the
    // operator.
    if (pseudonym !== undefined && headers.get("via")?.includes(pseudonym)) {
      throw new Refused(508, "This is the admin port of the proxy itself.");
    }
  }

  /** The route of one backend, by its id. */
  #backendRoute(path: string): Route | undefined {
    const prefix = "/backends/";
    if (!path.startsWith(prefix)) return undefined;
    const id = path.slice(prefix.length);
    if (id === "" || id.includes("/")) return undefined;
    const find = () => {
      const backend = this.#options.pool.backends.find((b) => b.id === id);
      if (backend !== undefined) return backend;
      throw new Refused(404, "There is no backend with this id.");
    };
    return {
      GET: () => json(200, this.#describe(find())),
      PATCH: (request) => this.#change(find, request),
      DELETE: () => this.#remove(find()),
    };
  }

  #authorize(request: Request): void {
    if (this.#knows === undefined) {
      throw new Refused(
        403,
        "Changes are off: start the proxy with ADMIN_TOKEN to allow them.",
      );
    }
    const token = bearerOf(request.headers.get("authorization"));
    if (token === undefined || !this.#knows(token)) {
      throw new Refused(
        401,
        "A change needs the token: send Authorization: Bearer with the value of ADMIN_TOKEN.",
        { "www-authenticate": 'Bearer realm="sluice"' },
      );
    }
  }

  #describe(backend: Backend): ReturnType<typeof backendJson> {
    const report = this.#options.report(backend);
    return backendJson(backend, report, this.#changes.of(backend));
  }

  async #page(): Promise<Response> {
    // Loaded on demand: rarely used, and nearly a thousand lines of text.
    const { dashboard } = await import("./dashboard.ts");
    const { version, policy, transport, token } = this.#options;
    const nonce = crypto.randomUUID();
    const html = dashboard({
      version,
      policy,
      transport,
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
    const backends = this.#options.pool.backends.map((b) => this.#describe(b));
    return json(200, { backends });
  }

  async #add(request: Request): Promise<Response> {
    const fields = await bodyOf(request, this.#options.clock, {
      url: "a text",
      weight: "a whole number from 0 to 1000",
      backup: "true or false",
      maxConns: "a whole number from 1 to 1000000",
      name: "a text",
    });
    if (fields.url === undefined) throw new Refused(400, '"url" is missing.');
    const url = this.#options.checkUrl(fields.url as string);
    if ("wanted" in url) throw new Refused(400, `"url" ${url.wanted}.`);
    const name = fields.name as string | undefined;
    const named = name === undefined
      ? undefined
      : this.#options.checkName(name);
    if (named !== undefined && "wanted" in named) {
      throw new Refused(400, `"name" ${named.wanted}.`);
    }
    const init: BackendInit = {
      url: url.value,
      weight: fields.weight as number | undefined,
      backup: fields.backup as boolean | undefined,
      maxConns: fields.maxConns as number | undefined,
      name,
    };
    const { log } = this.#options;
    const backend = this.#addToPool(init);
    log(`backend ${backend.label} was added by the admin API`);
    return json(201, this.#describe(backend), {
      location: `/backends/${backend.id}`,
    });
  }

  /** Adds a backend; a refusal of the pool is reported to the caller. */
  #addToPool(init: BackendInit): Backend {
    const { pool } = this.#options;
    if (pool.get(init.url) !== undefined) {
      throw new Refused(409, "A backend with this URL is in the pool already.");
    }
    try {
      return pool.add(init);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      // The name is in use, or the pool is full.
      throw new Refused(409, `${error.message}.`);
    }
  }

  async #change(find: () => Backend, request: Request): Promise<Response> {
    find();
    const { weight, draining } = await bodyOf(request, this.#options.clock, {
      weight: "a whole number from 0 to 1000",
      draining: "true or false",
    });
    if (weight === undefined && draining === undefined) {
      throw new Refused(400, 'Nothing to change: send "weight" or "draining".');
    }
    const { pool, log } = this.#options;
    // Looked up again: it may have been removed while the body arrived.
    const backend = find();
    if (weight !== undefined && weight !== backend.weight) {
      pool.setWeight(backend, weight as number);
      log(`backend ${backend.label} has weight ${weight} by the admin API`);
    }
    if (draining !== undefined && draining !== backend.draining) {
      pool.drain(backend, draining as boolean);
      const what = draining ? "is draining" : "is no longer draining";
      log(`backend ${backend.label} ${what} by the admin API`);
    }
    return json(200, this.#describe(backend));
  }

  #remove(backend: Backend): Response {
    const { pool, log } = this.#options;
    pool.remove(backend);
    log(`backend ${backend.label} was removed by the admin API`);
    return new Response(null, { status: 204, headers: SAFE });
  }

  #stream(request: Request, query: string): Response {
    const wants = new URLSearchParams(query);
    const history = wants.get("history") === "on";
    const headers = {
      ...SAFE,
      "content-type": "text/event-stream",
      // Tells nginx in front of this not to buffer events.
      "x-accel-buffering": "no",
    };
    if (request.method === "HEAD") return new Response(null, { headers });
    const body = this.#events.read({
      after: request.headers.get("last-event-id") ?? undefined,
      past: history,
      figures: wants.get("figures") !== "off",
      first: history ? frame("history", this.#history()) : "",
    });
    return new Response(body as ReadableStream<Uint8Array<ArrayBuffer>>, {
      headers,
    });
  }

  /**
   * The initial data of the dashboard. Limited for large pools: each second of
   * each backend, for each new reader, would be tens of megabytes.
   */
  #history(): unknown {
    const { pool, probes } = this.#options;
    const kept = this.#figures.kept;
    const backends: Record<string, unknown> = {};
    for (const backend of pool.backends.slice(0, MAX_HISTORY)) {
      const of = kept.map(({ backends }) => backends[backend.id]);
      backends[backend.id] = {
        requestsPerSecond: of.map((b) => b?.requestsPerSecond ?? 0),
        errorsPerSecond: of.map((b) => b?.errorsPerSecond ?? 0),
        latencyMs: of.map((b) => b?.latencyMs ?? null),
        probes: probes.of(backend),
      };
    }
    return {
      proxy: this.#facts(),
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
    // Ejected backends count, since they are used when there is no other.
    const any = pool.backends.some((b) => b.up && !b.draining && b.weight > 0);
    return any ? text(200, "ready") : text(503, "no backend is available");
  }
}
