/**
 * What the cases of `e2e/wire/` write, on both sides: the seeds of the fuzzing.
 *
 * Each case runs once with its client connected directly to its backend, so no
 * proxy is needed. It does not matter that cases fail this way: what they wrote
 * before is wanted. `deno task fuzz seeds` saves it in `corpus.json`.
 *
 * @module
 */

import { type RawBackend, rawBackend, RawConn } from "../harness/backend.ts";
import { RawConnection } from "../harness/client.ts";
import type { ProxyProcess } from "../harness/proxy.ts";
import { delay } from "../harness/wait.ts";
import { toBytes, toLatin1 } from "../harness/wire.ts";
import { Ground, type Group, Round, type WireCase } from "../wire/case.ts";
import { GROUPS } from "../wire/groups.ts";

/** What the cases of a group have written, each text once, as latin1. */
export interface Seeds {
  /** All that a client wrote on one connection. */
  requests: string[];
  /** All that a backend wrote on one connection. */
  answers: string[];
}

/** By the name of the group. */
export type Corpus = Record<string, Seeds>;

/** Time limit of one case: what waits for something has written by then. */
const CASE_MS = 300;
/** Cases at a time. */
const ABREAST = 48;
/** What is longer costs time and has no more structure. */
const MAX_SEED = 4_096;

/** What one case has written. */
interface Written {
  requests: Map<object, string>;
  answers: Map<object, string>;
}

const byPort = new Map<number, Written>();

function note(to: Map<object, string>, on: object, data: string | Uint8Array) {
  const had = to.get(on) ?? "";
  if (had.length > MAX_SEED) return;
  to.set(on, had + toLatin1(toBytes(data)));
}

/** Has the harness's connections note what is written; gives its undoing. */
function listen(): () => void {
  const { connect } = RawConnection;
  const { write } = RawConnection.prototype;
  const { send } = RawConn.prototype;
  const owners = new WeakMap<object, Written>();
  RawConnection.connect = async function (port, options) {
    const connection = await connect.call(RawConnection, port, options);
    const written = byPort.get(port);
    if (written !== undefined) owners.set(connection, written);
    return connection;
  };
  RawConnection.prototype.write = function (data) {
    const written = owners.get(this);
    if (written !== undefined) note(written.requests, this, data);
    return write.call(this, data);
  };
  RawConn.prototype.send = function (data) {
    const written = byPort.get(this.backend.port);
    if (written !== undefined) note(written.answers, this, data);
    return send.call(this, data);
  };
  return () => {
    RawConnection.connect = connect;
    RawConnection.prototype.write = write;
    RawConn.prototype.send = send;
  };
}

/** The parts of a proxy that a case needs when it talks to its backend. */
function noProxy(backend: RawBackend): ProxyProcess {
  const { port } = backend;
  return {
    port,
    url: backend.url,
    runtime: "deno",
    stdout: [],
    stderr: [],
    log: "",
    waitForLine: () => Promise.reject(new Error("no proxy")),
    waitForLines: () => Promise.reject(new Error("no proxy")),
    stop: () => Promise.resolve({ code: 0, signal: null }),
  } as unknown as ProxyProcess;
}

async function writtenBy(group: Group, each: WireCase): Promise<Written> {
  const written: Written = { requests: new Map(), answers: new Map() };
  const backend = await rawBackend(group.handler, { allowProblems: true });
  byPort.set(backend.port, written);
  const ground = new Ground(
    { ...group, together: false },
    "deno",
    "socket",
    backend,
    noProxy(backend),
    undefined,
  );
  const running = Round.run(ground, each, "new").catch(() => {});
  await Promise.race([running, delay(CASE_MS)]);
  byPort.delete(backend.port);
  await backend.abandon();
  return written;
}

/** Ports are drawn, and a seed is to be the same each time. */
function withoutPorts(text: string): string {
  return text.replace(/(127\.0\.0\.1|localhost):\d{5}\b/g, "$1:24000");
}

/** Runs all cases, and returns what they wrote. */
export async function harvest(): Promise<Corpus> {
  const corpus: Corpus = {};
  const cases = GROUPS.flatMap((group) =>
    group.cases.map((each) => ({ group, each }))
  );
  const sets = new Map(
    GROUPS.map(({ name }) => [name, {
      requests: new Set<string>(),
      answers: new Set<string>(),
    }]),
  );
  const seen = new Set<string>();
  let next = 0;
  const undo = listen();
  const row = async () => {
    while (next < cases.length) {
      const { group, each } = cases[next++]!;
      const written = await writtenBy(group, each);
      const to = sets.get(group.name)!;
      for (const side of ["requests", "answers"] as const) {
        for (const text of written[side].values()) {
          const plain = withoutPorts(text);
          if (plain.length > MAX_SEED || seen.has(side + plain)) continue;
          seen.add(side + plain);
          to[side].add(plain);
        }
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: ABREAST }, row));
  } finally {
    undo();
  }
  for (const [name, { requests, answers }] of sets) {
    corpus[name] = {
      requests: [...requests].sort(),
      answers: [...answers].sort(),
    };
  }
  return corpus;
}

/** The file with the result of {@linkcode harvest}. */
const FILE = new URL("corpus.json", import.meta.url);

/** The saved seeds. */
export async function corpus(): Promise<Corpus> {
  return JSON.parse(await Deno.readTextFile(FILE)) as Corpus;
}

/** Keeps what the cases write now. */
export async function renew(): Promise<Corpus> {
  const made = await harvest();
  await Deno.writeTextFile(FILE, JSON.stringify(made, undefined, 2) + "\n");
  return made;
}
