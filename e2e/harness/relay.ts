/**
 * A host on the way to a backend, which passes bytes on until the test ends its
 * connections: a TLS connection cannot be reset or cut by its own backend.
 *
 * @module
 */

import net from "node:net";
import { ended, opened } from "./cleanup.ts";

/** It, listening on a port of its own. */
export class Relay implements AsyncDisposable {
  readonly label = "a relay";
  readonly #sockets = new Set<net.Socket>();
  readonly #server: net.Server;

  private constructor(backendPort: number) {
    this.#server = net.createServer((socket) => {
      this.#sockets.add(socket);
      const further = net.connect(backendPort, "127.0.0.1");
      further.on("error", () => {}).pipe(socket);
      socket.on("error", () => {}).once("close", () => {
        this.#sockets.delete(socket);
        further.destroy();
      });
      socket.pipe(further);
    });
  }

  /** Relays to a port of this machine. */
  static async to(backendPort: number): Promise<Relay> {
    const relay = new Relay(backendPort);
    await new Promise<void>((done) =>
      relay.#server.listen(0, "127.0.0.1", done)
    );
    opened(relay);
    return relay;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  /** Ends the connections, as a peer that closes them would, or by a reset. */
  cut(how: "fin" | "reset"): void {
    for (const socket of this.#sockets) {
      if (how === "reset") socket.resetAndDestroy();
      else socket.destroy();
    }
  }

  async abandon(): Promise<void> {
    this.cut("fin");
    await new Promise((done) => this.#server.close(done));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    ended(this);
    await this.abandon();
  }
}
