/**
 * `onError`: a hook that puts an answer in place of one of our own.
 *
 * What our answer says to machines stands also in the hook's: that its
 * connection ends, when to come back, which methods are allowed. The hook's body
 * is read whole before it is sent: it is a page and no download, and so it has a
 * length and cannot break.
 *
 * @module
 */

import type { Chunk } from "./body.ts";
import type { Context } from "./context.ts";
import type { Fields } from "./fields.ts";
import {
  answerFields,
  checkAnswer,
  discardLate,
  hasBody,
  setFields,
} from "./hooks.ts";
import type { ProxyFailure, RequestContext } from "./hook_types.ts";

/** Most bytes of the body of a hook's answer. */
const MOST = 1024 * 1024;

/**
 * Fields that are ours also where the hook has them: what the connection does,
 * and the id that the log has.
 */
const ALWAYS: ReadonlySet<string> = new Set([
  "connection",
  "upgrade",
  "x-request-id",
]);

/** Fields of our answer that say what its body is. */
const OF_BODY: ReadonlySet<string> = new Set([
  "content-type",
  "content-length",
]);

/** Has the hook answer; where it does not, or fails, the answer is ours. */
export async function answerOrOurs(
  ours: Response,
  failure: ProxyFailure,
  context: RequestContext,
  c: Context,
): Promise<Response> {
  try {
    const given = await limited(c, async () => {
      const given = await c.hooks.onError!(failure, context);
      return given instanceof Response
        ? await composed(given, ours, context.request.method === "HEAD", c)
        : undefined;
    });
    return given ?? ours;
  } catch (error) {
    c.hooks.failed("onError", error);
    return ours;
  }
}

/** Waits for something until the time limit, or the proxy's end. */
async function limited<T>(
  { clock, timeoutMs, hooksWaiting }: Context,
  task: () => Promise<T>,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const timer = clock.setTimeout(
    () => reject(new Error("it took longer than timeoutMs")),
    timeoutMs,
  );
  const stop = () => reject(new Error("the proxy is being stopped"));
  hooksWaiting.add(stop);
  task().then(resolve, reject);
  try {
    return await promise;
  } finally {
    clock.clear(timer);
    hooksWaiting.delete(stop);
  }
}

/** The hook's answer with what ours has to say. */
async function composed(
  given: Response,
  ours: Response,
  head: boolean,
  { server }: Context,
): Promise<Response> {
  checkAnswer(given);
  const { status } = given;
  const fields = answerFields(given.headers);
  const said = new Set(fields.map(([name]) => name));
  const added: Fields = [];
  ours.headers.forEach((value, name) => {
    if (ALWAYS.has(name) || (!OF_BODY.has(name) && !said.has(name))) {
      added.push([name, value]);
    }
  });
  if (!hasBody("GET", status)) {
    discardLate(given);
    return server.respond(status, setFields(fields, added), null, head);
  }
  const bytes = await read(given);
  added.push(["content-length", String(bytes.byteLength)]);
  const body = head ? null : bytes;
  return server.respond(status, setFields(fields, added), body, head);
}

/** All of a body, which is not large. */
async function read({ body }: Response): Promise<Chunk> {
  const pieces: Chunk[] = [];
  let size = 0;
  const reader = body?.getReader();
  for (;;) {
    const piece = (await reader?.read())?.value;
    if (piece === undefined) break;
    size += piece.byteLength;
    if (size > MOST) {
      reader!.cancel().catch(() => {});
      throw new RangeError(`its body has more than ${MOST} bytes`);
    }
    pieces.push(piece);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.byteLength;
  }
  return bytes;
}
