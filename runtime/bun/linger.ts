/**
 * Keeps an early response from being lost: Bun closes the connection right
 * after it. If the client is still sending, its kernel then discards unread
 * data, often the response itself.
 *
 * @module
 */

/** Milliseconds for a client to stop sending. */
const LINGER_MS = 5_000;

/** Milliseconds without data after which the client has stopped. */
const QUIET_MS = 500;

/** Time limits; tests use other ones. */
export interface Linger {
  /** @default {5_000} */
  lingerMs?: number;
  /** @default {500} */
  quietMs?: number;
}

/**
 * A response that closes its connection and may come before its request has
 * ended. It is sent at once, but ends only when the client stops sending, after
 * a few seconds at the latest; until then, the client's data is read and
 * dropped. If the body was partly read, Bun drops the rest by itself, and the
 * response ends after a moment. Any other response is returned unchanged.
 */
export function lingering(
  request: Request,
  response: Response,
  { lingerMs = LINGER_MS, quietMs = QUIET_MS }: Linger = {},
): Response {
  const { body } = response;
  if (
    body === null || response.headers.get("connection") !== "close" ||
    // Reading the body would make Bun send 100 (Continue) after the response.
    request.headers.has("expect") || request.body === null
  ) return response;
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  const chunks = body.getReader();
  const answer = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await chunks.read();
      if (!done) return controller.enqueue(value);
      const rest = request.body!;
      if (request.bodyUsed || rest.locked) {
        await new Promise((resolve) => setTimeout(resolve, quietMs));
      } else await drained(rest.getReader(), lingerMs, quietMs);
      controller.close();
    },
    cancel: (why) => chunks.cancel(why),
  }, { highWaterMark: 0 });
  return new Response(answer, { status: response.status, headers });
}

/** Reads to the end or to a pause, with a time limit. */
async function drained(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  lingerMs: number,
  quietMs: number,
): Promise<void> {
  // A cancelled read returns the end.
  const leave = () => void reader.cancel().catch(() => {});
  const late = setTimeout(leave, lingerMs);
  let quiet: ReturnType<typeof setTimeout> | undefined;
  try {
    do {
      clearTimeout(quiet);
      quiet = setTimeout(leave, quietMs);
    } while (!(await reader.read()).done);
  } catch {
    // The client has disconnected.
  } finally {
    clearTimeout(late);
    clearTimeout(quiet);
  }
}
