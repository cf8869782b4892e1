/**
 * Moves a listening socket from one server of Bun's to another, in one process
 * on Linux. Measured on 1.4.5.
 *
 * Everything is checked before anything is changed: each of the two descriptors
 * is a socket that listens on its port, and each is registered once in the same
 * event loop. Nothing else runs between the steps, since Bun's event loop runs
 * in this thread.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import { builtin } from "../../base/builtin.ts";

/** The functions of the C library that are used. */
interface Libc {
  epoll_ctl(loop: number, what: number, fd: number, event: Buffer): number;
  dup3(from: number, to: number, flags: number): number;
  getsockopt(
    fd: number,
    level: number,
    name: number,
    value: Buffer,
    size: Buffer,
  ): number;
  getsockname(fd: number, address: Buffer, size: Buffer): number;
}

/** The part of `bun:ffi` that is used. */
interface Ffi {
  dlopen(
    name: string,
    symbols: Record<string, { args: string[]; returns: string }>,
  ): { symbols: Libc; close(): void };
}

/** The registration of a descriptor in an event loop. */
interface Entry {
  loop: number;
  events: number;
  data: bigint;
}

/** From Linux's headers; equal on both architectures. */
const [EPOLL_CTL_ADD, EPOLL_CTL_DEL, O_CLOEXEC] = [1, 2, 0o2000000];
const [SOL_SOCKET, SO_ACCEPTCONN] = [1, 30];

/** Offset of the data in `struct epoll_event`, which is packed on x86-64. */
const DATA_AT: Readonly<Record<string, number>> = { x64: 4, arm64: 8 };

/** File names of the C library: glibc and musl. */
const LIBC: Readonly<Record<string, readonly string[]>> = {
  x64: ["libc.so.6", "libc.musl-x86_64.so.1"],
  arm64: ["libc.so.6", "libc.musl-aarch64.so.1"],
};

/** Moves sockets until it is closed. */
export interface Mover {
  /**
   * Puts the socket that listens on the port `from` in place of the one that
   * listens on `to`, which is closed.
   *
   * @throws {Error} If that fails; nothing has changed then.
   */
  move(from: number, to: number): void;
  /** Releases the library. */
  close(): void;
}

/**
 * Makes a mover. Loaded on demand, since almost no process needs it.
 *
 * @throws {Error} If it is not supported here.
 */
export async function socketMover(): Promise<Mover> {
  const process = builtin("node:process");
  const dataAt = DATA_AT[process.arch];
  if (process.platform !== "linux" || dataAt === undefined) {
    throw new Error("only on Linux, on x64 and arm64");
  }
  // A computed name, so that Deno does not resolve it.
  const name = "bun:ffi";
  const { dlopen } = await import(name) as Ffi;
  const library = cLibrary(dlopen, process.arch);
  return {
    move: (from, to) => move(library.symbols, dataAt, from, to),
    close: () => library.close(),
  };
}

function move(libc: Libc, dataAt: number, from: number, to: number): void {
  const { Buffer } = builtin("node:buffer");
  const { openSync, closeSync } = builtin("node:fs");
  const open = descriptors();
  const [a, b] = [find(libc, open, from), find(libc, open, to)];
  const entries = entriesOf(open, a, b);
  const event = ({ events, data }: Entry) => {
    const buffer = Buffer.alloc(dataAt + 8);
    buffer.writeUInt32LE(events);
    buffer.writeBigUInt64LE(data, dataAt);
    return buffer;
  };
  const nothing = openSync("/dev/null", "r");
  const { loop } = entries.a;
  try {
    if (libc.epoll_ctl(loop, EPOLL_CTL_DEL, a, event(entries.a)) < 0) {
      throw new Error("epoll_ctl() takes no socket away");
    }
    if (
      libc.dup3(a, b, O_CLOEXEC) < 0 ||
      libc.epoll_ctl(loop, EPOLL_CTL_ADD, b, event(entries.b)) < 0
    ) {
      libc.epoll_ctl(loop, EPOLL_CTL_ADD, a, event(entries.a));
      throw new Error("dup3() or epoll_ctl() moves no socket");
    }
    // Events of the socket that are already in the loop find nothing now, and
    // closing the descriptor has no effect.
    libc.dup3(nothing, a, O_CLOEXEC);
  } finally {
    closeSync(nothing);
  }
}

/** The open descriptors of this process. */
function descriptors(): number[] {
  return builtin("node:fs").readdirSync("/proc/self/fd").map(Number);
}

function cLibrary(
  dlopen: Ffi["dlopen"],
  arch: string,
): ReturnType<Ffi["dlopen"]> {
  let reason: unknown;
  for (const name of LIBC[arch]!) {
    try {
      return dlopen(name, {
        epoll_ctl: { args: ["int", "int", "int", "ptr"], returns: "int" },
        dup3: { args: ["int", "int", "int"], returns: "int" },
        getsockopt: {
          args: ["int", "int", "int", "ptr", "ptr"],
          returns: "int",
        },
        getsockname: { args: ["int", "ptr", "ptr"], returns: "int" },
      });
    } catch (error) {
      reason ??= error;
    }
  }
  throw new Error("the C library cannot be loaded", { cause: reason });
}

/** The only descriptor that listens on a port. */
function find(libc: Libc, open: readonly number[], port: number): number {
  const { Buffer } = builtin("node:buffer");
  const found = open.filter((fd) => {
    const listens = Buffer.alloc(4);
    const four = Buffer.from([4, 0, 0, 0]);
    if (
      libc.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, listens, four) < 0 ||
      listens.readInt32LE() !== 1
    ) return false;
    const address = Buffer.alloc(128);
    const size = Buffer.from([128, 0, 0, 0]);
    // Family, then port, in IPv4 and IPv6 alike.
    return libc.getsockname(fd, address, size) === 0 &&
      address.readUInt16BE(2) === port;
  });
  if (found.length !== 1) {
    throw new Error(`${found.length} sockets listen on port ${port}, not one`);
  }
  return found[0]!;
}

/** The registrations of two descriptors in the one event loop that has both. */
function entriesOf(
  open: readonly number[],
  a: number,
  b: number,
): { a: Entry; b: Entry } {
  const { readFileSync, readlinkSync } = builtin("node:fs");
  const loops = open.filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === "anon_inode:[eventpoll]";
    } catch {
      return false; // closed in the meantime
    }
  });
  const entries = loops.flatMap((loop) => {
    const text = readFileSync(`/proc/self/fdinfo/${loop}`, "utf8");
    return entriesIn(text).map((entry) => ({ ...entry, loop }));
  });
  const [ofA, ofB] = [a, b].map((fd) =>
    entries.filter((entry) => entry.fd === fd)
  );
  if (
    ofA?.length !== 1 || ofB?.length !== 1 || ofA[0]!.loop !== ofB[0]!.loop ||
    ofA[0]!.events !== ofB[0]!.events
  ) throw new Error("the event loop is not as expected");
  return { a: ofA[0]!, b: ofB[0]! };
}

/** Parses the description of an event loop, see `proc_pid_fdinfo(5)`. */
export function entriesIn(
  text: string,
): { fd: number; events: number; data: bigint }[] {
  return text.split("\n").flatMap((line) => {
    const [tfd, fd, , events, , data] = line.split(/:\s*|\s+/);
    return tfd !== "tfd" || data === undefined ? [] : {
      fd: Number(fd),
      events: parseInt(events!, 16),
      data: BigInt(`0x${data}`),
    };
  });
}
