/**
 * Bytes and text.
 *
 * HTTP/1.1 is latin1 on the wire: one byte per character (RFC 9110 §5.5). Text
 * that is read and written here keeps its bytes, whatever their encoding is.
 *
 * @module
 */

/** A chunk of data of a connection, as both runtimes provide it. */
export type Chunk = Uint8Array<ArrayBuffer>;

const ascii = new TextDecoder();

/** Bytes converted by one call. */
const BATCH = 4096;

/**
 * Decodes bytes, one character each. `plain`: no byte is above 0x7f, which
 * takes a tenth of the time, since any decoder works then. There is no decoder
 * for the rest: the Encoding Standard's "latin1" is windows-1252.
 */
export function latin1(bytes: Chunk, plain = false): string {
  if (plain) return ascii.decode(bytes);
  let text = "";
  for (let at = 0; at < bytes.length; at += BATCH) {
    // `apply`, since `...` takes seven times as long on both runtimes.
    const part = bytes.subarray(at, at + BATCH) as unknown as number[];
    text += String.fromCharCode.apply(null, part);
  }
  return text;
}

/** Encodes text, one byte per character; the reverse of {@linkcode latin1}. */
export function bytesOf(text: string): Chunk {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

/** Encodes a few bytes as base64. */
export function base64(bytes: Chunk): string {
  return btoa(latin1(bytes));
}

/** Joins chunks; a single chunk is not copied. */
export function joined(chunks: readonly Chunk[]): Chunk {
  if (chunks.length === 1) return chunks[0]!;
  let size = 0;
  for (const chunk of chunks) size += chunk.length;
  const all = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** The bytes of a token (RFC 9110 §5.6.2). */
const TOKEN = new Uint8Array(256);
for (let code = 0; code < 128; code++) {
  const character = String.fromCharCode(code);
  if (/[!#$%&'*+.^_`|~0-9A-Za-z-]/.test(character)) TOKEN[code] = 1;
}

/** Whether a byte may be part of a token. */
export function isToken(byte: number): boolean {
  return TOKEN[byte] === 1;
}

/** The peer has violated HTTP/1.1. */
export class Malformed extends Error {
  override readonly name = "Malformed";
}

/** The peer has ended the connection before its message was complete. */
export class Ended extends Error {
  override readonly name = "Ended";
}
