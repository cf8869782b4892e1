/**
 * Step 9: the response to the client.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import { type AnswerBody, isReading } from "./attempt.ts";
import type { Chunk, Reading } from "./body.ts";
import { resumedBody } from "./resume_body.ts";
import type { Context } from "./context.ts";
import type { Exchange } from "./exchange.ts";
import type { Fields, Read } from "./fields.ts";
import { responseFields } from "./headers.ts";
import { headerReceived, judge } from "./judge.ts";
import { answerWith } from "./own_answer.ts";
import { Relay } from "./relay.ts";
import { resumableOf } from "./resume.ts";
import { explanation, settle } from "./settle.ts";
import type { Answer } from "./transport.ts";
import { acceptClient } from "./upgrade.ts";
import { NO_UPLOAD } from "./upload.ts";
import { Bridge } from "./bridge.ts";
import type { Opened } from "./handshake.ts";

/** Responds with what the backend has sent. */
export function respond(
  x: Exchange,
  backend: Backend,
  answer: Response | Answer,
  body: AnswerBody,
  c: Context,
): Response {
  const { status, headers } = answer;
  x.answered = true;
  x.status = status;
  headerReceived(x, status, c);
  if ("forget" in x.upload) x.upload.forget();
  else x.upload = NO_UPLOAD;
  if (isReading(body)) {
    x.relay = new Relay(
      sourceFor(x, answer, body, c),
      x,
      x.direct && c.server.refersToChunks === true,
    );
  }
  const added = addedTo(x, backend, answer, c);
  const out = passedThrough(x, backend, body, added, c) ?? c.server.respond(
    status,
    responseFields(
      headers,
      c.rules.answerFacts(x, backend, c.hostHeader, added),
    ),
    x.relay?.stream ??
      (body instanceof Response
        ? body.body as ReadableStream<Chunk> | null
        : body as Chunk | null),
    x.method === "HEAD",
  );
  // 10. Settle: now, unless the body is relayed.
  if (x.relay !== undefined) return out;
  if (body instanceof Uint8Array) {
    x.bytes = body.byteLength;
    backend.proven++;
    if (c.server.copiesBodies === true) {
      (answer as Partial<Answer>).reuse?.();
    }
  }
  judge(x, status, c);
  settle(x, c);
  return out;
}

/**
 * A usual response of `fetch`, passed through without the fields of its
 * connection. A response to HEAD is made anew: both runtimes would add a length
 * if it has none.
 */
function passedThrough(
  x: Exchange,
  backend: Backend,
  body: AnswerBody,
  added: Fields | undefined,
  { transport }: Context,
): Response | undefined {
  return body instanceof Response && added === undefined &&
      x.method !== "HEAD" && backend.answer === undefined &&
      transport.native?.strip?.(body, backend.basePath) === true
    ? body
    : undefined;
}

/** Responds with a 101, and connects the two sides of a WebSocket. */
export async function join(
  x: Exchange,
  backend: Backend,
  opened: Opened,
  c: Context,
): Promise<Response> {
  x.answered = true;
  x.status = 101;
  // From here on the bridge owns the connection.
  const bridge = x.bridge = new Bridge(opened, {
    maxMessageBytes: c.maxMessageBytes,
    budget: c.bridges,
    later: (callback) => c.clock.setTimeout(callback, 0),
    now: () => c.clock.now(),
    log: c.log,
    over: () => {
      x.bytes = bridge.bytes;
      settle(x, c);
    },
  });
  headerReceived(x, 101, c);
  judge(x, 101, c);
  if (c.goneAway) bridge.goAway();
  const added = addedTo(x, backend, UPGRADED, c);
  const answer = await acceptClient(bridge, {
    server: c.server,
    request: x.request,
    connection: x.connection,
    opened,
    facts: c.rules.answerFacts(x, backend, c.hostHeader, added),
    log: c.log,
  });
  if (answer instanceof Response) return answer;
  const type = answer === 499 ? "http_request_error" : "proxy_internal_error";
  const out = await answerWith(x, answer, type, c);
  bridge.abandon();
  return out;
}

/** The source of a body, which may continue from another backend. */
export function sourceFor(
  x: Exchange,
  answer: Response | Answer,
  source: Reading,
  c: Context,
): Reading {
  const resumable = c.resume
    ? resumableOf(x.method, x.request.headers, answer)
    : undefined;
  return resumable === undefined
    ? source
    : resumedBody(x, source, resumable, c);
}

/** The fields that we add to a response, if any. */
export function addedTo(
  x: Exchange,
  backend: Backend,
  answer: { readonly headers: Read },
  c: Context,
): Fields | undefined {
  const closing = c.closing();
  const cookie = c.sticky?.cookie(
    backend,
    x.key,
    c.rules.clientScheme(x.fields, x.peer, x.scheme) === "https",
    answer,
  );
  if (
    !closing && x.requestId === undefined && !x.explained &&
    cookie === undefined
  ) return undefined;
  const added: Fields = [];
  if (cookie !== undefined) added.push(["set-cookie", cookie]);
  if (x.explained) added.push(["server-timing", explanation(x, c)]);
  if (closing) added.push(["connection", "close"]);
  if (x.requestId !== undefined) added.push(["x-request-id", x.requestId]);
  return added;
}

/** In place of a response, for an accepted WebSocket. */
const UPGRADED = { headers: new Headers() };
