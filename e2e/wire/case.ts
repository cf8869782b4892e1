/**
 * A wire case: one promise about bytes, tested on real sockets on both sides.
 *
 * Cases are grouped by theme, a group shares one proxy and one backend, and
 * each case that could differ runs twice: on a new connection, and on one that
 * has carried a request before (where bytes left over from one request could be
 * taken for the next). Groups are data, so that a test can run them and
 * `deno task wire` can print the results.
 *
 * @module
 */

import assert from "node:assert/strict";
import {
  type Handler,
  type RawBackend,
  rawBackend,
  type RawRequest,
} from "../harness/backend.ts";
import {
  RawConnection,
  type RawResponse,
  requestText,
} from "../harness/client.ts";
import {
  type ProxyProcess,
  type Runtime,
  type SentBy,
  sentBy,
  startProxy,
} from "../harness/proxy.ts";
import { PeerGone } from "../harness/wire.ts";

/**
 * On which connections a case runs: a new one, a new and a used one, or those
 * two and a third time behind a backend whose bodies are no longer looked at,
 * since it has given many whole answers (see `PROVEN` in `proxy/forward.ts`).
 */
export type On = "fresh" | "both" | "proven";

/** One promise. */
export interface WireCase {
  /** What is promised, with its RFC section or the incident behind it. */
  name: string;
  /** @default {"both"} */
  on?: On;
  /** Fails if the promise is broken. */
  run: (round: Round) => Promise<void>;
}

/** Cases that share a proxy and a backend. */
export interface Group {
  /** The theme, one word. */
  name: string;
  /** The proxy's settings; by default `BACKENDS` and no probes. */
  env?: (backend: RawBackend) => Record<string, string>;
  /** The backend listens on a Unix domain socket. */
  unix?: boolean;
  /** The backend's script, for cases without their own. */
  handler?: Handler;
  /** No case breaks a response, so a trusted backend stays trusted. */
  whole?: boolean;
  /** All cases run concurrently: they are slow, and share one script. */
  together?: boolean;
  /** The cases. */
  cases: readonly WireCase[];
}

/** What the cases of a group run on. */
export class Ground implements AsyncDisposable {
  /** Whether the backend's bodies are no longer checked, permanently. */
  proven = false;

  constructor(
    readonly group: Group,
    readonly runtime: Runtime,
    /** How requests are sent. */
    readonly by: SentBy,
    readonly backend: RawBackend,
    readonly proxy: ProxyProcess,
    /** Where the backend's socket is, if it has one. */
    readonly folder: string | undefined,
  ) {}

  /** Starts what a group needs. */
  static async open(
    group: Group,
    runtime: Runtime,
    by: SentBy = sentBy(runtime),
  ): Promise<Ground> {
    const folder = group.unix === true
      ? await Deno.makeTempDir({ prefix: "sluice-" })
      : undefined;
    const backend = await rawBackend(group.handler, {
      // Malformed requests are checked for after each round.
      allowProblems: true,
      ...(folder === undefined ? {} : { unix: `${folder}/a.sock` }),
    });
    const env = { BACKENDS: backend.url, ...group.env?.(backend) };
    const proxy = await startProxy(runtime, {
      env: { HEALTH_PATH: "off", TRANSPORT: by, ...env },
      permissions: folder === undefined
        ? []
        : [`--allow-read=${folder}`, `--allow-write=${folder}`],
    });
    return new Ground(group, runtime, by, backend, proxy, folder);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.proxy.stop(0);
    await this.backend.stop();
    if (this.folder !== undefined) {
      await Deno.remove(this.folder, { recursive: true });
    }
  }
}

/** A backend's default response. */
export const ok: Handler = (conn) => conn.reply({ body: "ok" });

/** Answers whole and small after which a backend's bodies pass untouched. */
const ENOUGH = 70;

/** One run of one case. */
export class Round {
  /** The connection to the proxy, of the kind that the round is about. */
  readonly connection: RawConnection;
  readonly runtime: Runtime;
  readonly backend: RawBackend;
  readonly proxy: ProxyProcess;
  readonly #first: number;
  readonly #problems: number;
  readonly #more: RawConnection[] = [];

  private constructor(ground: Ground, connection: RawConnection) {
    this.runtime = ground.runtime;
    this.backend = ground.backend;
    this.proxy = ground.proxy;
    this.connection = connection;
    this.#first = this.backend.requests.length;
    this.#problems = this.backend.problems.length;
  }

  /** Runs a case once. */
  static async run(
    ground: Ground,
    { run }: WireCase,
    kind: "new" | "used" | "proven",
  ): Promise<void> {
    const { backend, proxy, group } = ground;
    const connection = await RawConnection.connect(proxy.port);
    if (group.together !== true) backend.handler = group.handler ?? ok;
    const before = kind === "new"
      ? 0
      : kind === "used" || ground.proven
      ? 1
      : ENOUGH;
    if (kind === "proven" && group.whole === true) ground.proven = true;
    if (before > 0) backend.handler = ok;
    for (let i = 0; i < before; i++) {
      const { status } = await connection.request(requestText("GET", "/warm"));
      assert.equal(status, 200, "the request before the case is answered");
    }
    if (before > 0 && group.together !== true) {
      backend.handler = group.handler ?? ok;
    }
    const round = new Round(ground, connection);
    try {
      await run(round);
      assert.deepEqual(
        backend.problems.slice(round.#problems).map(String),
        [],
        "the backend got nothing malformed",
      );
    } finally {
      await connection.close();
      for (const each of round.#more) await each.close();
    }
  }

  /** Requests that the backend got in this round. */
  get requests(): RawRequest[] {
    return this.backend.requests.slice(this.#first);
  }

  /** The only request that the backend got in this round. */
  get request(): RawRequest {
    const { requests } = this;
    assert.equal(requests.length, 1, "the backend got one request");
    return requests[0]!;
  }

  /** Waits for a request of this round that has not been answered yet. */
  async arrived(): Promise<RawRequest> {
    return await this.backend.waitForRequests(this.#first + 1);
  }

  /** Another connection; closed after the round. */
  connect(): Promise<RawConnection> {
    return this.connectTo(this.proxy.port);
  }

  /** A connection to another server; closed after the round. */
  async connectTo(port: number, host = "127.0.0.1"): Promise<RawConnection> {
    const connection = await RawConnection.connect(port, { host });
    this.#more.push(connection);
    return connection;
  }

  /** Sends bytes on the round's connection and reads one answer. */
  async ask(
    data: string | Uint8Array,
    script?: Handler,
  ): Promise<RawResponse> {
    if (script !== undefined) this.backend.handler = script;
    const text = typeof data === "string" ? data : "";
    const method = /^(\S+)/.exec(
      text || new TextDecoder().decode(data.slice(0, 64) as Uint8Array),
    )?.[1];
    // A server that refuses a request may close before it has read all of it.
    const writing = this.connection.write(data).catch((error) => {
      if (!(error instanceof PeerGone)) throw error;
    });
    const answer = await this.connection.readResponse(
      method === undefined ? {} : { method },
    );
    await writing;
    return answer;
  }

  /** Sends an ordinary request. */
  get(
    target: string,
    headers: readonly [string, string][] = [],
    script?: Handler,
  ): Promise<RawResponse> {
    return this.ask(requestText("GET", target, { headers }), script);
  }

  /**
   * Asserts that the proxy still works: another request, on a new connection.
   */
  async stillFine(): Promise<void> {
    this.backend.handler = (conn) => conn.reply({ body: "still fine" });
    const connection = await this.connect();
    const answer = await connection.request(requestText("GET", "/after"));
    assert.equal(answer.status, 200, "the next request is answered");
    assert.equal(answer.text, "still fine", "with its own answer");
  }
}
