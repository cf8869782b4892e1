/**
 * Each function that reads what a client, a backend or an operator has written
 * takes linear time, whatever it is given. The table is complete for the modules
 * that it names: a function that is added to one of them has to be put here, or
 * among those that read nothing.
 */

import assert from "node:assert/strict";
import * as address from "../config/address.ts";
import * as backends from "../config/backends.ts";
import * as faults from "../config/fault.ts";
import * as flags from "../config/flags.ts";
import * as listener from "../config/listener.ts";
import * as pem from "../config/pem.ts";
import * as spelling from "../config/spelling.ts";
import { bytesOf } from "../http/bytes.ts";
import * as framing from "../http/framing.ts";
import * as heads from "../http/head.ts";
import * as names from "../http/names.ts";
import * as persistence from "../http/persistence.ts";
import * as adminHttp from "../observe/admin_http.ts";
import * as token from "../observe/token.ts";
import * as addresses from "../proxy/addresses.ts";
import * as fields from "../proxy/fields.ts";
import * as lengths from "../proxy/framing.ts";
import * as guard from "../proxy/guard.ts";
import * as handshake from "../proxy/handshake.ts";
import * as keys from "../proxy/keys.ts";
import * as mapping from "../proxy/mapping.ts";
import * as origins from "../proxy/origins.ts";
import * as trace from "../proxy/trace.ts";
import { growsLinearly } from "./growth.ts";
import { HOSTILE } from "./hostile.ts";

type Read = (text: string) => unknown;

const inField = (name: string, text: string) =>
  new Headers([[name, text.replace(/[^\x20-\x7e]/g, "").trim()]]);

const head = (fields: [string, string][]) => ({
  status: 200,
  minor: 1,
  fields,
});

/** What is thrown at what is malformed is an answer too. */
function attempt(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof Error);
  }
}

/** A module, what of it reads, and what of it does not. */
interface Row {
  module: Record<string, unknown>;
  reads: Record<string, Read | Record<string, Read>>;
  others?: readonly string[];
}

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";

const TABLE: Record<string, Row> = {
  "http/head.ts": {
    module: heads,
    reads: {
      HeadReader: {
        "as a value": (text) =>
          new heads.HeadReader().push(
            bytesOf(`HTTP/1.1 200 OK\r\nX: ${text.slice(0, 60_000)}\r\n\r\n`),
          ),
        "as lines": (text) =>
          new heads.HeadReader().push(
            bytesOf(`HTTP/1.1 200 OK\r\n${text.slice(0, 60_000)}\r\n\r\n`),
          ),
      },
    },
  },
  "http/framing.ts": {
    module: framing,
    reads: {
      framingOf: {
        "of lengths": (text) =>
          framing.framingOf(head([["content-length", `1,${text}`]]), "GET"),
        "of codings": (text) =>
          framing.framingOf(head([["transfer-encoding", text]]), "GET"),
      },
    },
    others: ["hasNone"],
  },
  "http/persistence.ts": {
    module: persistence,
    reads: {
      secondsOf: {
        "of Connection": (text) =>
          persistence.secondsOf(1, [["connection", text]]),
        "of Keep-Alive": (text) =>
          persistence.secondsOf(1, [["keep-alive", text]]),
      },
    },
  },
  "http/names.ts": {
    module: names,
    reads: {
      writeName: (text) =>
        names.writeName(new Uint8Array(text.length + 2), 0, text),
      frequentName: (text) => names.frequentName(bytesOf(text), 0, text.length),
    },
  },
  "proxy/framing.ts": {
    module: lengths,
    reads: {
      declaredLength: {
        "of lengths": (text) => lengths.declaredLength(null, text),
        "of equal lengths": (text) =>
          lengths.declaredLength(null, "5, ".repeat(text.length / 3) + "5"),
        "of codings": (text) => lengths.declaredLength(text, null),
      },
      lengthIn: (text) => lengths.lengthIn(inField("content-length", text)),
    },
    others: ["hasBody"],
  },
  "proxy/guard.ts": {
    module: guard,
    reads: {
      refuseMethod: (text) =>
        guard.refuseMethod(text, { sendsMethod: () => true }),
      refuseHost: guard.refuseHost,
      targetOf: (text) =>
        guard.targetOf(`http://a.test/${text}`, "a.test", true),
      impliedHost: (text) => guard.impliedHost(text, true),
      schemeOf: (text) => guard.schemeOf(text, undefined, {}, undefined),
      refuseFraming: (text) => guard.refuseFraming("POST", text, null),
      refuseDelete: (text) => guard.refuseDelete(inField("x", text)),
      refuseAsterisk: (text) => guard.refuseAsterisk("OPTIONS", text),
      destinationClimbs: (text) =>
        guard.destinationClimbs("MOVE", inField("destination", `/${text}`)),
      logsConnectionIn: guard.logsConnectionIn,
    },
    others: ["isRefusal"],
  },
  "proxy/fields.ts": {
    module: fields,
    reads: {
      isForwarding: (text) => fields.isForwarding(`x-forwarded${text}`),
      isAlias: fields.isAlias,
      named: fields.named,
      isRequestDropped: (text) => fields.isRequestDropped(text),
      isResponseDropped: (text) => fields.isResponseDropped(text),
    },
    others: ["AnswerLines", "Lines"],
  },
  "proxy/handshake.ts": {
    module: handshake,
    reads: {
      handshakeOf: {
        "of Upgrade": (text) =>
          handshake.handshakeOf(
            new Headers([
              ["upgrade", inField("x", `websocket ${text}`).get("x")!],
              ["connection", "upgrade"],
              ["sec-websocket-key", KEY],
            ]),
          ),
        "of the key": (text) =>
          handshake.handshakeOf(
            new Headers([
              ["upgrade", "websocket"],
              ["connection", "upgrade"],
              ["sec-websocket-key", inField("x", text).get("x")!],
            ]),
          ),
      },
      hasElement: {
        "alone": (text) => handshake.hasElement(text, "a"),
        "among spaces": (text) =>
          handshake.hasElement(`a${" ".repeat(text.length)}a,b`, "a"),
        "often": (text) => handshake.hasElement("aa ".repeat(text.length), "a"),
      },
    },
    others: ["openWebSocket", "HandshakeFailed", "Opened"],
  },
  "proxy/keys.ts": {
    module: keys,
    reads: {
      cookieOf: (text) => keys.cookieOf(inField("cookie", text), "a"),
    },
    others: ["keyOf"],
  },
  "proxy/trace.ts": {
    module: trace,
    reads: { traceOf: (text) => trace.traceOf(`00-${text}`) },
    others: ["newSpanId", "setSpan"],
  },
  "proxy/addresses.ts": {
    module: addresses,
    reads: { plainAddress: addresses.plainAddress },
    others: ["peerOf", "cachedMatcher"],
  },
  "proxy/origins.ts": {
    module: origins,
    reads: {
      originKey: (text) => origins.originKey("http", text),
      splitUrl: (text) => origins.splitUrl(`http://${text}`),
    },
  },
  "proxy/mapping.ts": {
    module: mapping,
    reads: { cookieForClient: (text) => mapping.cookieForClient(text, "/b") },
    // proxy/linear_test.ts has these, with the facts that they need.
    others: [
      ...["isMapped", "forClient", "locationForClient", "isMappedForBackend"],
      ...["forBackend"],
    ],
  },
  "config/address.ts": {
    module: address,
    reads: { parseAddress: address.parseAddress, parseCidr: address.parseCidr },
    others: ["holds", "isLoopback", "isWildcard"],
  },
  "config/backends.ts": {
    module: backends,
    reads: {
      parseBackends: {
        "as an entry": (text) => backends.parseBackends(`http://${text}`),
        "as a list": (text) =>
          backends.parseBackends("http://a.test,".repeat(text.length / 14)),
        "as lines": (text) =>
          backends.parseBackends("# x\nunix:/a\n".repeat(text.length / 12)),
      },
      parseBackend: backends.parseBackend,
      parseBackendUrl: (text) => backends.parseBackendUrl(`http://${text}`),
    },
  },
  "config/fault.ts": {
    module: faults,
    reads: {
      quote: faults.quote,
      oneLine: faults.oneLine,
      masked: (text) => faults.masked(`http://${text}@`),
      isPem: faults.isPem,
      withoutQuery: faults.withoutQuery,
      withoutCredentials: (text) => faults.withoutCredentials(`x://${text}`, 4),
    },
  },
  "config/flags.ts": {
    module: flags,
    reads: { readFlags: (text) => flags.readFlags([`--port=${text}`, text]) },
  },
  "config/spelling.ts": {
    module: spelling,
    reads: { nearestFlag: spelling.nearestFlag, nearMiss: spelling.nearMiss },
  },
  "config/listener.ts": {
    module: listener,
    reads: {
      isLocal: listener.isLocal,
      isNamed: (text) => listener.isNamed(text, ["a.test"]),
      collide: (text) => listener.collide(text, "127.0.0.1"),
    },
    others: ["leadsTo"],
  },
  "config/pem.ts": {
    module: pem,
    reads: {
      readCertificates: pem.readCertificates,
      readPrivateKey: pem.readPrivateKey,
    },
    others: ["placeOfKey", "validityFault"],
  },
  "observe/admin_http.ts": {
    module: adminHttp,
    reads: {
      partsOf: (text) => adminHttp.partsOf(`http://${text}`),
      bearerOf: (text) => adminHttp.bearerOf(`Bearer ${text}`),
    },
    // A body of it is 16 KB at most, and JSON.parse() reads it.
    others: ["json", "text", "bodyOf", "Refused"],
  },
  "observe/token.ts": {
    module: token,
    reads: { tokenCheck: token.tokenCheck("secret") },
  },
};

for (const [file, { module, reads, others = [] }] of Object.entries(TABLE)) {
  Deno.test(`the table of what reads is complete for ${file}`, () => {
    const functions = Object.keys(module).filter((name) =>
      typeof module[name] === "function"
    );
    assert.deepEqual(
      functions.sort(),
      [...Object.keys(reads), ...others].sort(),
    );
  });

  for (const [name, given] of Object.entries(reads)) {
    const forms = typeof given === "function" ? { "": given } : given;
    Deno.test(`${name}() of ${file} takes linear time`, () => {
      for (const [form, read] of Object.entries(forms)) {
        for (const [what, make] of Object.entries(HOSTILE)) {
          growsLinearly(`${name} ${form}: ${what}`, 1_024, (size) => {
            const text = make(size);
            return () => attempt(() => read(text));
          });
        }
      }
    });
  }
}
