/**
 * `onError`: a hook that replaces an error response of ours.
 *
 * Our response's fields for software stay: whether the connection closes, when
 * to retry, which methods are allowed. The hook's body is buffered before it is
 * sent: it is a page, not a download, and so it has a length and cannot be
 * truncated.
 *
 * @module
 */

import type { Chunk } from "./body.ts";
import type { Context } from "./context.ts";
import type { Fields } from "./fields.ts";
import { hasBody } from "./framing.ts";
import { answerFields, checkAnswer, discardLate, setFields } from "./hooks.ts";
import type { ProxyFailure, RequestContext } from "./hook_types.ts";

/** Maximum bytes of the body of a hook's response. */
const MAX_BODY_BYTES = 1024 * 1024;

/**
 * Fields that are always ours: those of the connection, and the id that the log
 * has.
 */
const ALWAYS: ReadonlySet<string> = new Set([
  "connection",
  "upgrade",
  "x-request-id",
]);

/** Fields of our response that describe its body. */
const OF_BODY: ReadonlySet<string> = new Set([
  "content-type",
  "content-length",
]);

/** Returns the hook's response; ours if there is none, or if the hook fails. */
export async function answerByErrorHook(
  ours: Response,
  failure: ProxyFailure,
  context: RequestContext,
  c: Context,
): Promise<Response> {
  try {
    const given = await limited(c, async () => {
      const given = await c.hooks.onError!(failure, context);
      return given instanceof Response
        ? await merged(given, ours, context.request.method === "HEAD", c)
        : undefined;
    });
    return given ?? ours;
  } catch (error) {
    c.hooks.failed("onError", error);
    return ours;
  }
}

/** Runs a task until the time limit or the end of the proxy. */
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

/** The hook's response with the fields of ours that it needs. */
async function merged(
  given: Response,
  ours: Response,
  head: boolean,
  { server }: Context,
): Promise<Response> {
  checkAnswer(given);
  const { status } = given;
  const fields = answerFields(given.headers);
  const present = new Set(fields.map(([name]) => name));
  const added: Fields = [];
  ours.headers.forEach((value, name) => {
    if (ALWAYS.has(name) || (!OF_BODY.has(name) && !present.has(name))) {
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

/** Reads a body, which must not be large. */
async function read({ body }: Response): Promise<Chunk> {
  const chunks: Chunk[] = [];
  let size = 0;
  const reader = body?.getReader();
  for (;;) {
    const chunk = (await reader?.read())?.value;
    if (chunk === undefined) break;
    size += chunk.byteLength;
    if (size > MAX_BODY_BYTES) {
      reader!.cancel().catch(() => {});
      throw new RangeError(`its body has more than ${MAX_BODY_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}
