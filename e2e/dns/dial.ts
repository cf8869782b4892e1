/**
 * Connects to a name with the addresses that it is given, in their order, and
 * says how long that took and which of them it was.
 *
 * @module
 */

import process from "node:process";
import { Backend } from "../../balancer.ts";
import { dial } from "../../runtime/dial.ts";

const { PORT = "", ADDRESSES = "" } = process.env;
const addresses = ADDRESSES.split(",")
  .map((address) => ({ address, family: 4 }));
const from = performance.now();
const socket = await dial(
  new Backend({ url: `http://name.test:${PORT}` }),
  new AbortController().signal,
  20_000,
  {
    lookup: (_name, options, found) =>
      options.all
        ? found(null, addresses)
        : found(null, addresses[0]!.address, 4),
  },
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
