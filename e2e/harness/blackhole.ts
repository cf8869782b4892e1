/**
 * A port that answers no SYN, like a host whose firewall drops them.
 *
 * A listener with a full backlog: the kernel drops further SYNs. Neither
 * runtime can have one, since both accept connections at once, so Python does.
 *
 * @module
 */

import { ended, opened } from "./cleanup.ts";

const SCRIPT = `
import socket, sys
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(0)
held = []
while True:
    filler = socket.socket()
    filler.settimeout(0.3)
    try:
        filler.connect(listener.getsockname())
    except TimeoutError:
        break
    held.append(filler)
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
`;

/** Connecting to it never completes. */
export class Blackhole implements AsyncDisposable {
  readonly label = "blackhole";

  constructor(
    readonly port: number,
    private readonly child: Deno.ChildProcess,
  ) {
    opened(this);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async abandon(): Promise<void> {
    ended(this);
    await this.child.stdin.close();
    await this.child.stdout.cancel();
    await this.child.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abandon();
  }
}

/** Makes one; needs python3. */
export async function blackhole(): Promise<Blackhole> {
  const child = new Deno.Command("python3", {
    args: ["-c", SCRIPT],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  return new Blackhole(Number(new TextDecoder().decode(value)), child);
}
