/**
 * What the admin API has of HTTP: reading a request, and writing an answer, each
 * within bounds.
 *
 * @module
 */

import type { Clock, TimerHandle } from "../base/clock.ts";

/** Bytes of a request body. */
const MOST_BODY = 16 * 1024;
/** Milliseconds that a request body may take. */
const BODY_MS = 10_000;

/** A request that is refused, and why. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    sentence: string,
    readonly fields: Record<string, string> = {},
  ) {
    super(sentence);
  }
}

/** Fields of every answer. */
export const SAFE: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  // No other page may take these in, as a script or a picture either.
  "cross-origin-resource-policy": "same-origin",
};

/** An answer in JSON. */
export function json(
  status: number,
  value: unknown,
  fields: Record<string, string> = {},
): Response {
  return new Response(`${JSON.stringify(value)}\n`, {
    status,
    headers: {
      ...SAFE,
      "content-type": "application/json; charset=utf-8",
      ...fields,
    },
  });
}

/** An answer of one sentence. */
export function text(status: number, sentence: string): Response {
  return new Response(`${sentence}\n`, {
    status,
    headers: { ...SAFE, "content-type": "text/plain; charset=utf-8" },
  });
}

/** The path and the query of a URL as the runtimes give it: it need not be one. */
export function partsOf(url: string): { path: string; query: string } {
  let start = 0;
  if (/^https?:\/\//i.test(url)) {
    start = url.indexOf("/", url.indexOf("//") + 2);
    // `http://host?x` has no path.
    if (start < 0) start = url.search(/[?#]|$/);
  }
  const fragment = url.indexOf("#", start);
  const target = url.slice(start, fragment < 0 ? url.length : fragment);
  const mark = target.indexOf("?");
  const path = mark < 0 ? target : target.slice(0, mark);
  return { path: path || "/", query: mark < 0 ? "" : target.slice(mark + 1) };
}

/** The token of `Authorization: Bearer`, if there is one (RFC 6750 §2.1). */
export function bearerOf(field: string | null): string | undefined {
  if (field === null || !/^Bearer /i.test(field)) return undefined;
  const token = field.slice("Bearer ".length).trim();
  return token === "" || token.includes(" ") ? undefined : token;
}

/** What a field of a body may be, by the words that say so. */
const KINDS = {
  "a text": (value: unknown) => typeof value === "string",
  "true or false": (value: unknown) => typeof value === "boolean",
  "a whole number from 0 to 1000": whole(0, 1000),
  "a whole number from 1 to 1000000": whole(1, 1_000_000),
} satisfies Record<string, (value: unknown) => boolean>;

/** What a field of a body may be. */
export type Kind = keyof typeof KINDS;

function whole(min: number, max: number): (value: unknown) => boolean {
  return (value) =>
    Number.isInteger(value) && value as number >= min && value as number <= max;
}

/** A request's body as an object that has no fields but these, of these kinds. */
export async function bodyOf<Name extends string>(
  request: Request,
  clock: Clock,
  kinds: Readonly<Record<Name, Kind>>,
): Promise<Partial<Record<Name, unknown>>> {
  let value: unknown;
  try {
    value = JSON.parse(await textOf(request, clock));
  } catch (error) {
    if (error instanceof Refused) throw error;
    throw new Refused(400, "The body is not JSON.");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Refused(400, "The body is not a JSON object.");
  }
  for (const [name, given] of Object.entries(value)) {
    if (!Object.hasOwn(kinds, name)) {
      const known = Object.keys(kinds).map((k) => `"${k}"`).join(", ");
      throw new Refused(
        400,
        `There is no field ${JSON.stringify(name.slice(0, 40))}: ` +
          `this takes ${known}.`,
      );
    }
    const kind = kinds[name as Name];
    if (!KINDS[kind](given)) {
      throw new Refused(400, `"${name}" is not ${kind}.`);
    }
  }
  return value as Partial<Record<Name, unknown>>;
}

/** A request's body as text, within bounds of size and time. */
async function textOf(request: Request, clock: Clock): Promise<string> {
  const reader = request.body?.getReader();
  if (reader === undefined) return "";
  const decoder = new TextDecoder("utf-8", { fatal: true });
  // The rest of the body is not read, so the connection cannot be used again.
  const fields = { connection: "close" };
  let timer: TimerHandle;
  const late = new Promise<never>((_, reject) => {
    timer = clock.setTimeout(() => {
      reject(new Refused(408, "The body did not arrive in time.", fields));
    }, BODY_MS);
  });
  let text = "";
  let size = 0;
  try {
    while (true) {
      const { done, value } = await Promise.race([reader.read(), late]);
      if (done) return text + decoder.decode();
      size += value.byteLength;
      if (size > MOST_BODY) {
        const sentence = `The body is over ${MOST_BODY} bytes.`;
        throw new Refused(413, sentence, fields);
      }
      text += decoder.decode(value, { stream: true });
    }
  } catch (error) {
    reader.cancel().catch(() => {});
    throw error;
  } finally {
    clock.clear(timer);
  }
}
