/**
 * Connects to a name, and prints the duration and the response.
 *
 * @module
 */

import process from "node:process";
import type { CountingSocket } from "../../http/socket.ts";
import { connectBun } from "../../runtime/bun/connect.ts";
import { connectDeno } from "../../runtime/deno/connect.ts";

const connect = "Bun" in globalThis ? connectBun : connectDeno;
const { NAME = "", PORT = "" } = process.env;
const from = performance.now();
const socket: CountingSocket = await connect(
  { hostname: NAME, port: Number(PORT), certifiedAs: undefined },
  { signal: new AbortController().signal, limitMs: 20_000 },
);
const took = performance.now() - from;
let text = "";
socket.listen({
  data(bytes) {
    text += new TextDecoder().decode(bytes);
  },
  ended() {
    console.log(JSON.stringify({ took, text }));
    socket.destroy();
  },
  drained() {},
});
socket.resume();
