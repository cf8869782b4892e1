/**
 * Uses `fetch` unless it would change or could lose the message; then sockets.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import type { ProbeResult } from "../health.ts";
import { Unanswered } from "../http/call.ts";
import type { Socket } from "../http/socket.ts";
import type {
  Answer,
  Failure,
  FetchTransport,
  Native,
  Outgoing,
  ProbeOptions,
  Transport,
} from "../proxy/transport.ts";

/** Chooses a transport for each request. */
export class AutoTransport implements Transport {
  readonly native: Native;
  readonly #fetch: FetchTransport;
  readonly #sockets: Transport;
  readonly #needsSocket: (outgoing: Outgoing) => boolean;

  /** `needsSocket`: whether `fetch` would change a request, or could lose it. */
  constructor(
    fetch: FetchTransport,
    sockets: Transport,
    needsSocket: (outgoing: Outgoing) => boolean,
  ) {
    this.native = fetch.native;
    this.#fetch = fetch;
    this.#sockets = sockets;
    this.#needsSocket = needsSocket;
  }

  sendsMethod(method: string): boolean {
    return this.#sockets.sendsMethod(method);
  }

  send(outgoing: Outgoing): Promise<Response | Answer> {
    // Above Bun's limit of concurrent requests, it would have to wait.
    return this.#needsSocket(outgoing) || this.#fetch.full?.(outgoing.backend)
      ? this.#sockets.send(outgoing)
      : this.#fetch.send(outgoing);
  }

  classify(error: unknown): Failure {
    return error instanceof Unanswered
      ? this.#sockets.classify(error)
      : this.#fetch.classify(error);
  }

  warm(): void {
    this.#fetch.warm?.();
  }

  probe(
    backend: Backend,
    path: string,
    signal: AbortSignal,
    options?: ProbeOptions,
  ): Promise<ProbeResult> {
    return this.#sockets.probe(backend, path, signal, options);
  }

  dial(
    backend: Backend,
    signal: AbortSignal,
    limitMs: number,
  ): Promise<Socket> {
    return this.#sockets.dial(backend, signal, limitMs);
  }

  classifyDial(error: unknown): Failure {
    return this.#sockets.classifyDial(error);
  }

  forget(backend: Backend): void {
    this.#sockets.forget?.(backend);
  }

  close(): void {
    this.#fetch.close();
    this.#sockets.close();
  }
}
