/**
 * Backends on Unix domain sockets: they get the same requests as others, and
 * each request is answered, whatever host it names.
 *
 * @module
 */

import assert from "node:assert/strict";
import { requestText } from "../harness/client.ts";
import type { Group } from "./case.ts";

/** The cases. */
export const unix: Group = {
  name: "unix",
  unix: true,
  env: () => ({ TIMEOUT: "1s", EJECT_AFTER: "off", RETRIES: "off" }),
  cases: [
    {
      name:
        "unix: a request is sent in origin form, as to any server (RFC 9112 §3.2.1)",
      async run(round) {
        const { status } = await round.get("/a//b?c");
        assert.equal(status, 200);
        assert.equal(round.request.target, "/a//b?c");
        assert.equal(round.request.header("host"), "sluice.test");
      },
    },
    {
      name: "unix: requests for many hosts are all answered",
      on: "fresh",
      async run(round) {
        const failed: number[] = [];
        for (let i = 0; i < 60; i++) {
          const { status } = await round.ask(
            requestText("GET", "/", { host: `h${i}.test` }),
          );
          if (status !== 200) failed.push(status);
        }
        assert.deepEqual(failed, []);
      },
    },
    {
      name: "unix: requests that are sent once are all answered",
      on: "fresh",
      async run(round) {
        const failed: number[] = [];
        for (let i = 0; i < 60; i++) {
          const { status } = await round.ask(
            requestText("POST", "/", { body: "" }),
          );
          if (status !== 200) failed.push(status);
        }
        assert.deepEqual(failed, []);
      },
    },
  ],
};
