/**
 * An early answer that is not lost: Bun closes the connection right behind it,
 * and where the client is still sending then, its kernel throws away what it has
 * not read yet, often the answer itself.
 *
 * @module
 */

/** Milliseconds for a client to stop sending. */
const LINGER_MS = 5_000;

/** Milliseconds without a piece after which it has: it waits for the end. */
const QUIET_MS = 500;

/** How long an answer lingers; other times are for tests. */
export interface Linger {
  /** @default {5_000} */
  lingerMs?: number;
  /** @default {500} */
  quietMs?: number;
}

/**
 * An answer that closes its connection and may come before its request has
 * ended. What the client still sends is read and thrown away until it stops, for a
 * few seconds at most, and only then the answer ends; all of its bytes are sent at
 * once. Where the body has been read in part Bun throws the rest away by itself,
 * and the answer ends after a moment. Any other answer is left as it is.
 */
export function lingering(
  request: Request,
  response: Response,
  { lingerMs = LINGER_MS, quietMs = QUIET_MS }: Linger = {},
): Response {
  const { body } = response;
  if (
    body === null || response.headers.get("connection") !== "close" ||
    // To read the body would have Bun ask for it, after it has been answered.
    request.headers.has("expect") || request.body === null
  ) return response;
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  const pieces = body.getReader();
  const answer = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await pieces.read();
      if (!done) return controller.enqueue(value);
      const rest = request.body!;
      if (request.bodyUsed || rest.locked) {
        await new Promise((resolve) => setTimeout(resolve, quietMs));
      } else await drained(rest.getReader(), lingerMs, quietMs);
      controller.close();
    },
    cancel: (why) => pieces.cancel(why),
  }, { highWaterMark: 0 });
  return new Response(answer, { status: response.status, headers });
}

/** Reads to the end, or to a pause, and for so long at most. */
async function drained(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  lingerMs: number,
  quietMs: number,
): Promise<void> {
  // A read that is cancelled gives the end.
  const leave = () => void reader.cancel().catch(() => {});
  const late = setTimeout(leave, lingerMs);
  let quiet: ReturnType<typeof setTimeout> | undefined;
  try {
    do {
      clearTimeout(quiet);
      quiet = setTimeout(leave, quietMs);
    } while (!(await reader.read()).done);
  } catch {
    // The client has left.
  } finally {
    clearTimeout(late);
    clearTimeout(quiet);
  }
}
