/**
 * HTTP for the admin API: reading requests and writing responses, with limits.
 *
 * @module
 */

import type { Clock, TimerHandle } from "../base/clock.ts";

/** Maximum bytes of a request body. */
const MAX_BODY = 16 * 1024;
/** Milliseconds for a request body to arrive. */
const BODY_TIMEOUT_MS = 10_000;

/** A refused request, with the reason. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    sentence: string,
    readonly fields: Record<string, string> = {},
  ) {
    super(sentence);
  }
}

/** Fields of every response. */
export const SAFE: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  // Other sites must not load these as scripts or images either.
  "cross-origin-resource-policy": "same-origin",
};

/** A response in JSON. */
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

/** A response of one sentence. */
export function text(status: number, sentence: string): Response {
  return new Response(`${sentence}\n`, {
    status,
    headers: { ...SAFE, "content-type": "text/plain; charset=utf-8" },
  });
}

/** Path and query of a request's URL, which may be only a target. */
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

/** The token of `Authorization: Bearer`, if present (RFC 6750 §2.1). */
export function bearerOf(field: string | null): string | undefined {
  if (field === null || !/^Bearer /i.test(field)) return undefined;
  const token = field.slice("Bearer ".length).trim();
  return token === "" || token.includes(" ") ? undefined : token;
}

/** The kinds of values, by their description. */
const KINDS = {
  "a text": (value: unknown) => typeof value === "string",
  "true or false": (value: unknown) => typeof value === "boolean",
  "a whole number from 0 to 1000": whole(0, 1000),
  "a whole number from 1 to 1000000": whole(1, 1_000_000),
} satisfies Record<string, (value: unknown) => boolean>;

/** A kind of value. */
export type Kind = keyof typeof KINDS;

function whole(min: number, max: number): (value: unknown) => boolean {
  return (value) =>
    Number.isInteger(value) && value as number >= min && value as number <= max;
}

/** Reads a body as a JSON object with only these fields, of these kinds. */
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

/** Reads a body as text, with limits of size and time. */
async function textOf(request: Request, clock: Clock): Promise<string> {
  const reader = request.body?.getReader();
  if (reader === undefined) return "";
  const decoder = new TextDecoder("utf-8", { fatal: true });
  // The rest of the body is not read, so the connection cannot be reused.
  const fields = { connection: "close" };
  let timer: TimerHandle;
  const late = new Promise<never>((_, reject) => {
    timer = clock.setTimeout(() => {
      reject(new Refused(408, "The body did not arrive in time.", fields));
    }, BODY_TIMEOUT_MS);
  });
  let text = "";
  let size = 0;
  try {
    while (true) {
      const { done, value } = await Promise.race([reader.read(), late]);
      if (done) return text + decoder.decode();
      size += value.byteLength;
      if (size > MAX_BODY) {
        const sentence = `The body is over ${MAX_BODY} bytes.`;
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
