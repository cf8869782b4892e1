/**
 * Step 7: what the client is answered with.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import type { Begun } from "./attempt.ts";
import type { Reading } from "./body.ts";
import { carriedOn } from "./carry.ts";
import type { Context } from "./context.ts";
import type { Exchange } from "./exchange.ts";
import type { Fields } from "./fields.ts";
import { responseFields } from "./headers.ts";
import { answered, judge } from "./judge.ts";
import { answerWith } from "./own_answer.ts";
import { Relay } from "./relay.ts";
import { carriedOf } from "./resume.ts";
import { explanation, settle } from "./settle.ts";
import { acceptClient } from "./upgrade.ts";
import { NO_UPLOAD } from "./upload.ts";
import { Bridge } from "./bridge.ts";
import type { Opened } from "./handshake.ts";

/** Answers with what the backend has sent. */
export function respond(
  x: Exchange,
  backend: Backend,
  response: Response,
  body: Begun,
  c: Context,
): Response {
  const { status } = response;
  x.answered = true;
  x.status = status;
  answered(x, status, c);
  if ("forget" in x.upload) x.upload.forget();
  else x.upload = NO_UPLOAD;
  if (isReading(body)) relay(x, response, body, c);
  const added = addedTo(x, backend, response, c);
  // The usual answer goes out as it came, less what concerned its connection.
  // One to HEAD does not: both runtimes would invent a length where it has none.
  const asItIs = body === "native" && added === undefined &&
    x.method !== "HEAD" && backend.answer === undefined &&
    c.transport.strip?.(response, backend.basePath) === true;
  const out = asItIs ? response : c.transport.respond(
    response,
    responseFields(
      response.headers,
      c.rules.answerFacts(x, backend, c.hostHeader, added),
    ),
    isReading(body) ? x.relay!.stream : body === "native" ? undefined : body,
    x.method === "HEAD",
  );
  // 8. Settle: now, unless the body is relayed.
  if (x.relay !== undefined) return out;
  if (body instanceof Uint8Array) {
    x.bytes = body.byteLength;
    backend.proven++;
  }
  judge(x, status, c);
  settle(x, c);
  return out;
}

/** Answers with a 101, and joins the two sides of a WebSocket. */
export async function join(
  x: Exchange,
  backend: Backend,
  opened: Opened,
  c: Context,
): Promise<Response> {
  x.answered = true;
  x.status = 101;
  answered(x, 101, c);
  judge(x, 101, c);
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
  if (c.goneAway) bridge.goAway();
  const added = addedTo(x, backend, undefined, c);
  const answer = await acceptClient(bridge, {
    transport: c.transport,
    request: x.request,
    connection: x.connection,
    opened,
    facts: c.rules.answerFacts(x, backend, c.hostHeader, added),
    log: c.log,
  });
  if (answer instanceof Response) return answer;
  const type = answer === 499 ? "http_request_error" : "proxy_internal_error";
  const out = answerWith(x, answer, type, c);
  bridge.abandon();
  return out;
}

/** Hands a body on, and has it carried on if it breaks. */
function relay(
  x: Exchange,
  response: Response,
  source: Reading,
  c: Context,
): void {
  const carried = c.resume
    ? carriedOf(x.method, x.request.headers, response)
    : undefined;
  const from = carried === undefined
    ? source
    : carriedOn(x, source, carried, c);
  x.relay = new Relay(from, x);
}

/** Fields that an answer gets from us, if any. */
function addedTo(
  x: Exchange,
  backend: Backend,
  response: Response | undefined,
  c: Context,
): Fields | undefined {
  const closing = c.closing();
  const cookie = c.sticky?.cookie(
    backend,
    x.key,
    c.rules.clientScheme(x.fields, x.peer, x.scheme) === "https",
    response ?? UPGRADED,
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

/** In place of the answer where a WebSocket is granted: no cache stores that. */
const UPGRADED = { headers: new Headers() };

function isReading(body: Begun): body is Reading {
  return body !== null && typeof body === "object" && "read" in body;
}
