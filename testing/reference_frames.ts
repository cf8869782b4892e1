/**
 * A second reading of WebSocket frames, written from RFC 6455 and RFC 3629 and
 * from nothing else, to hold a bridge against. It takes all bytes of one side at
 * once and shares no code with what ships.
 *
 * @module
 */

/** What one side has said. */
export interface ReferenceFrames {
  /** Complete messages: `text` or `binary`, a space, and the bytes as latin1. */
  readonly messages: readonly string[];
  /** Payloads of pings. */
  readonly pings: readonly string[];
  /** How it ended. */
  readonly end: "open" | "cut" | "closed" | "invalid";
  /** Of a close frame: its code, if it has one, and its reason. */
  readonly code: number | undefined;
  readonly reason: string;
  /** Whether it ended within a message. */
  readonly unfinished: boolean;
  /** What is invalid. */
  readonly why: string | undefined;
  /**
   * Whether the last frame was there to its end: what is invalid may be refused
   * before, and must be then.
   */
  readonly whole: boolean;
}

/**
 * Reads the frames of one side.
 *
 * @param masked Whether they have to be masked, as a client's are.
 */
export function framesOf(
  bytes: Uint8Array,
  masked: boolean,
): ReferenceFrames {
  const messages: string[] = [];
  const pings: string[] = [];
  let kind: "text" | "binary" | undefined;
  let parts = "";
  let at = 0;
  const ended = (
    end: ReferenceFrames["end"],
    more: Partial<ReferenceFrames> = {},
  ): ReferenceFrames => ({
    messages,
    pings,
    end,
    code: undefined,
    reason: "",
    unfinished: kind !== undefined,
    why: undefined,
    whole: true,
    ...more,
  });
  const invalid = (why: string) =>
    ended("invalid", { why, whole: at === bytes.length || isWhole(bytes, at) });
  while (at < bytes.length) {
    const left = bytes.length - at;
    const first = bytes[at]!;
    const opcode = first & 15;
    const final = first >= 128;
    if ((first & 0x70) !== 0) return invalid("a reserved bit");
    if ((opcode > 2 && opcode < 8) || opcode > 10) return invalid("an opcode");
    if (opcode >= 8 && !final) return invalid("a control frame in pieces");
    if (left < 2) return ended("cut");
    const second = bytes[at + 1]!;
    if ((second >= 128) !== masked) return invalid("the mask");
    let size = second & 127;
    let head = 2;
    if (opcode >= 8 && size > 125) return invalid("a large control frame");
    if (opcode === 0 && kind === undefined) {
      return invalid("no message to go on");
    }
    if ((opcode === 1 || opcode === 2) && kind !== undefined) {
      return invalid("a message in a message");
    }
    if (size > 125) {
      const digits = size === 126 ? 2 : 8;
      if (left < 2 + digits) return ended("cut");
      size = 0;
      for (let i = 0; i < digits; i++) size = size * 256 + bytes[at + 2 + i]!;
      head += digits;
      if (size >= 2 ** 63) return invalid("a length of 64 bits");
    }
    const key = masked ? bytes.subarray(at + head, at + head + 4) : undefined;
    if (masked) head += 4;
    if (left < head + size) return ended("cut");
    let payload = "";
    for (let i = 0; i < size; i++) {
      const byte = bytes[at + head + i]! ^ (key?.[i % 4] ?? 0);
      payload += String.fromCharCode(byte);
    }
    at += head + size;
    if (opcode === 9) pings.push(payload);
    if (opcode === 8) return closing(payload, ended, invalid);
    if (opcode >= 8) continue;
    if (opcode > 0) kind = opcode === 1 ? "text" : "binary";
    parts += payload;
    if (!final) continue;
    if (kind === "text" && !isUtf8(parts)) return invalid("UTF-8");
    messages.push(`${kind} ${parts}`);
    kind = undefined;
    parts = "";
  }
  return ended(kind === undefined ? "open" : "cut");
}

/** Whether all of a frame is there, by what its head says. */
function isWhole(bytes: Uint8Array, at: number): boolean {
  const left = bytes.length - at;
  if (left < 2) return false;
  const second = bytes[at + 1]!;
  let size = second & 127;
  let head = 2 + (second >= 128 ? 4 : 0);
  if (size > 125) {
    const digits = size === 126 ? 2 : 8;
    if (left < 2 + digits) return false;
    size = 0;
    for (let i = 0; i < digits; i++) size = size * 256 + bytes[at + 2 + i]!;
    head += digits;
  }
  return left >= head + size;
}

/** A close frame (RFC 6455 §5.5.1 and §7.4). */
function closing(
  payload: string,
  ended: (
    end: ReferenceFrames["end"],
    more?: Partial<ReferenceFrames>,
  ) => ReferenceFrames,
  invalid: (why: string) => ReferenceFrames,
): ReferenceFrames {
  if (payload === "") return ended("closed");
  if (payload.length === 1) return invalid("half a close code");
  const code = payload.charCodeAt(0) * 256 + payload.charCodeAt(1);
  const known = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011];
  const registered = [1012, 1013, 1014];
  const own = code >= 3000 && code <= 4999;
  if (!known.includes(code) && !registered.includes(code) && !own) {
    return invalid(`the close code ${code}`);
  }
  const reason = payload.slice(2);
  if (!isUtf8(reason)) return invalid("UTF-8 in a reason");
  return ended("closed", { code, reason });
}

/** RFC 3629 §4: bytes, one a character, that are UTF-8. */
const UTF8 = new RegExp(
  "^(?:[\\x00-\\x7f]|[\\xc2-\\xdf][\\x80-\\xbf]|\\xe0[\\xa0-\\xbf][\\x80-\\xbf]" +
    "|[\\xe1-\\xec\\xee\\xef][\\x80-\\xbf]{2}|\\xed[\\x80-\\x9f][\\x80-\\xbf]" +
    "|\\xf0[\\x90-\\xbf][\\x80-\\xbf]{2}|[\\xf1-\\xf3][\\x80-\\xbf]{3}" +
    "|\\xf4[\\x80-\\x8f][\\x80-\\xbf]{2})*$",
);

function isUtf8(text: string): boolean {
  // In pieces that end where a character does: long texts exhaust the pattern.
  for (let at = 0; at < text.length;) {
    let to = Math.min(text.length, at + 4_000);
    while (to < text.length && (text.charCodeAt(to) & 0xc0) === 0x80) to++;
    if (!UTF8.test(text.slice(at, to))) return false;
    at = to;
  }
  return true;
}
