/**
 * What Deno keeps inside of its requests and answers, where to reach for it
 * spares much of what a request costs. Measured on 2.9.6.
 *
 * None of it is public, so nothing here is believed before it was tried: each
 * reach is held once against what the public API says of the same object, and
 * where the two differ, or where something is not where it was, the answer is
 * "no" and the caller goes the public way, which is right on any version.
 *
 * @module
 */

import type { Chunk } from "../../proxy/body.ts";
import type { Fields } from "../../proxy/headers.ts";

/** An object by the symbols that Deno keeps things under. */
type Inside<T> = Record<symbol, T | undefined>;

/** What a request is made of. */
interface InnerRequest {
  method: string;
  headerList: Fields;
  urlListProcessed: string[];
  clientRid: number | null;
  body: InnerBody | null;
}

/** What a body is made of. */
interface InnerBody {
  streamOrStatic:
    | ReadableStream<Chunk>
    | { body: unknown; consumed: boolean };
  length: number | null;
  createProxy: () => InnerBody;
}

function symbolOf(object: object, description: string): symbol | undefined {
  return Object.getOwnPropertySymbols(object)
    .find((symbol) => symbol.description === description);
}

/** Whether these lines are what `headers` says, in whatever order and case. */
function same(lines: Fields, headers: Headers): boolean {
  const said = [...headers];
  return Array.isArray(lines) && lines.length === said.length &&
    lines.every((line) =>
      Array.isArray(line) && line.length === 2 &&
      said.some(([name, value]) => line[0] === name && line[1] === value)
    );
}

/** Where an answer keeps its list; `null` where it is not as expected. */
let answers: symbol | null | undefined;

/**
 * The fields of a fetched answer as the list that Deno sends on, lower-case and
 * line by line. The public `Headers` of such an answer cannot be changed, and to
 * copy them and the answer costs 11 µs of about 90 for a small one.
 */
export function answerLines(response: Response): Fields | undefined {
  if (answers === undefined) {
    // One that was made in code says nothing of a fetched one's.
    if (response.url === "") return undefined;
    const symbol = symbolOf(response, "response");
    const list = symbol && innerList(response, symbol);
    // The same fields in the same number, or it is not what it seems.
    const known = Array.isArray(list) &&
      list.every((line) =>
        Array.isArray(line) && line.length === 2 &&
        line[0] === line[0].toLowerCase() && response.headers.has(line[0])
      ) &&
      [...response.headers.keys()].every((name) =>
        list.some((line) => line[0] === name)
      );
    answers = symbol !== undefined && known ? symbol : null;
  }
  return answers === null ? undefined : innerList(response, answers);
}

function innerList(response: Response, symbol: symbol): Fields | undefined {
  return (response as unknown as Inside<{ headerList?: Fields }>)[symbol]
    ?.headerList;
}

/** Where a server's request keeps what it is made of, and of which kind that is. */
let requests: { symbol: symbol; kind: object } | null | undefined;

/** What a request of Deno's own server is made of; none for any other request. */
function served(request: Request): InnerRequest | undefined {
  if (requests === null) return undefined;
  if (requests === undefined) {
    const symbol = symbolOf(request, "request");
    const inner = symbol &&
      (request as unknown as Inside<InnerRequest>)[symbol];
    // One that was made in code, which says nothing of the server's.
    const kind = inner && Object.getPrototypeOf(inner);
    if (kind === Object.prototype) return undefined;
    requests = null;
    // A list of its own at each call, which may then be kept and changed.
    const known = symbol !== undefined && inner !== undefined &&
      Array.isArray(inner.headerList) &&
      inner.headerList !== inner.headerList &&
      same(joined(inner.headerList), request.headers);
    if (!known) return undefined;
    requests = { symbol, kind };
  }
  const inner = (request as unknown as Inside<InnerRequest>)[requests.symbol];
  return inner !== undefined &&
      Object.getPrototypeOf(inner) === requests.kind
    ? inner
    : undefined;
}

/**
 * The fields of a request of Deno's own server, as `Headers` would say them but
 * in the order in which they came. Each `get` of such a request's `Headers` asks
 * the server anew, and seven are needed; to go through them sorts them.
 */
export function requestLines(request: Request): Fields | undefined {
  const inner = served(request);
  return inner === undefined ? undefined : joined(inner.headerList);
}

/**
 * The body of a request of Deno's own server, if all of it came with the head.
 * To read the stream that `body` makes of it costs about 10 µs of 150 more.
 */
export function wholeBody(
  request: Request,
  length: number,
): Chunk | undefined {
  const kept = served(request)?.body?.streamOrStatic;
  if (kept === undefined || kept instanceof ReadableStream) return undefined;
  if (
    kept.consumed !== false || !(kept.body instanceof Uint8Array) ||
    kept.body.byteLength !== length
  ) return undefined;
  kept.consumed = true;
  return kept.body as Chunk;
}

/** Lower-case names, each once. Quadratic, which for a dozen lines is nothing. */
function joined(list: Fields): Fields {
  let kept = 0;
  next:
  for (let i = 0; i < list.length; i++) {
    const line = list[i]!;
    const name = line[0] = line[0].toLowerCase();
    for (let j = 0; j < kept; j++) {
      const known = list[j]!;
      if (known[0] === name && name !== "set-cookie") {
        known[1] = known[1] === "" ? line[1] : `${known[1]}, ${line[1]}`;
        continue next;
      }
    }
    list[kept++] = line;
  }
  list.length = kept;
  return list;
}

/** What {@linkcode Draft.filled} puts into a request. */
export interface Filling {
  method: string;
  url: string;
  fields: Fields;
  signal: AbortSignal;
  /** The body, if there is one, and its length if that is known. */
  body: ReadableStream<Chunk> | undefined;
  length: number | undefined;
}

/**
 * A request that is filled anew for each attempt. What `fetch` is given as a URL
 * and options it converts and checks member by member and field by field, by
 * rules for strangers: about 20 µs of the 95 that a small GET costs. A `Request`
 * it only copies, at once, so one can serve for all that go through a client.
 */
export class Draft {
  readonly #request: Request;
  readonly #inner: InnerRequest;
  readonly #signal: symbol;
  readonly #Body: new (stream: ReadableStream<Chunk>) => InnerBody;

  private constructor(
    request: Request,
    inner: InnerRequest,
    signal: symbol,
    Body: new (stream: ReadableStream<Chunk>) => InnerBody,
  ) {
    this.#request = request;
    this.#inner = inner;
    this.#signal = signal;
    this.#Body = Body;
  }

  /** One for this client; none where Deno's requests are not as expected. */
  static of(client: Deno.HttpClient): Draft | undefined {
    const init: RequestInit & { client: Deno.HttpClient } = {
      method: "POST",
      body: "x",
      redirect: "manual",
      client,
    };
    const request = new Request("http://127.0.0.1/", init);
    const symbol = symbolOf(request, "request");
    const signal = symbolOf(request, "signalCache");
    const inner = symbol &&
      (request as unknown as Inside<InnerRequest>)[symbol];
    const Body = inner?.body?.constructor;
    if (
      symbol === undefined || signal === undefined || inner === undefined ||
      typeof Body !== "function" || typeof inner.clientRid !== "number" ||
      !Array.isArray(inner.urlListProcessed)
    ) return undefined;
    const draft = new Draft(
      request,
      inner,
      signal,
      Body as new (stream: ReadableStream<Chunk>) => InnerBody,
    );
    try {
      return draft.#holds(symbol) ? draft : undefined;
    } catch {
      return undefined;
    }
  }

  /** The request, to be handed to `fetch` before the next one is filled. */
  filled({ method, url, fields, signal, body, length }: Filling): Request {
    const inner = this.#inner;
    inner.method = method;
    inner.urlListProcessed[0] = url;
    inner.headerList = fields;
    (this.#request as unknown as Inside<AbortSignal>)[this.#signal] = signal;
    if (body === undefined) {
      inner.body = null;
    } else {
      const wrapped = inner.body = new this.#Body(body);
      wrapped.length = length ?? null;
      // The copy would be a stream that is read in JavaScript from this one.
      wrapped.createProxy = () => wrapped;
    }
    return this.#request;
  }

  /** Whether a copy has all that was filled in, and keeps it afterwards. */
  #holds(symbol: symbol): boolean {
    const body = new ReadableStream<Chunk>();
    const first = new AbortController();
    const second = new AbortController();
    const one = new Request(this.filled({
      method: "PUT",
      url: "http://127.0.0.1/a?b",
      fields: [["x-a", "1"], ["x-b", "2"], ["x-a", "3"]],
      signal: first.signal,
      body,
      length: 7,
    }));
    const other = new Request(this.filled({
      method: "GET",
      url: "http://127.0.0.1/c",
      fields: [["x-c", "4"]],
      signal: second.signal,
      body: undefined,
      length: undefined,
    }));
    const inner = (one as unknown as Inside<InnerRequest>)[symbol];
    const before = !one.signal.aborted && !other.signal.aborted;
    first.abort();
    return before && one.signal.aborted && !other.signal.aborted &&
      one.method === "PUT" && one.url === "http://127.0.0.1/a?b" &&
      one.redirect === "manual" && one.body === body &&
      same([["x-a", "1, 3"], ["x-b", "2"]], one.headers) &&
      inner?.clientRid === this.#inner.clientRid &&
      inner?.body?.length === 7 && inner.body.streamOrStatic === body &&
      other.method === "GET" && other.url === "http://127.0.0.1/c" &&
      other.body === null && same([["x-c", "4"]], other.headers);
  }
}
