import assert from "node:assert/strict";
import { lingering } from "./linger.ts";

/** A refusal, as Sluice gives it. */
function refusal(fields: Record<string, string> = { connection: "close" }) {
  return new Response("too much\n", {
    status: 413,
    headers: { "content-length": "9", ...fields },
  });
}

/** An upload whose pieces are given by hand. */
function upload(fields: Record<string, string> = {}) {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  let left = false;
  const body = new ReadableStream<Uint8Array>({
    start: (given) => void (controller = given),
    cancel: () => void (left = true),
  });
  const init = { method: "POST", headers: fields, body, duplex: "half" };
  const request = new Request("http://a.test/", init as RequestInit);
  return { request, controller, left: () => left };
}

Deno.test("lingering() sends the complete response before it waits", async () => {
  const { request, controller } = upload();
  const answer = lingering(request, refusal());
  assert.equal(answer.status, 413);
  assert.equal(answer.headers.get("connection"), "close");
  // With a length, its client would have the end before it stops sending.
  assert.equal(answer.headers.get("content-length"), null);
  const reader = answer.body!.getReader();
  const { value } = await reader.read();
  assert.equal(new TextDecoder().decode(value), "too much\n");
  let over = false;
  const end = reader.read().then(({ done }) => over = done);
  controller.enqueue(new Uint8Array(5));
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.equal(over, false, "its client is still sending");
  controller.close();
  await end;
  assert.equal(over, true);
});

Deno.test("lingering() ends when its client has left", async () => {
  const { request, controller } = upload();
  const text = lingering(request, refusal()).text();
  controller.error(new Error("reset"));
  assert.equal(await text, "too much\n");
});

Deno.test("lingering() waits for a client that sends no more, but not long", async () => {
  const { request, left } = upload();
  const answer = lingering(request, refusal(), { quietMs: 5 });
  assert.equal(await answer.text(), "too much\n");
  assert.equal(left(), true);
});

Deno.test("lingering() ends even if its client never stops sending", async () => {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      await new Promise((resolve) => timer = setTimeout(resolve, 1));
      controller.enqueue(new Uint8Array(1));
    },
    cancel: () => clearTimeout(timer),
  });
  const init = { method: "POST", body, duplex: "half" };
  const request = new Request("http://a.test/", init as RequestInit);
  const answer = lingering(request, refusal(), { lingerMs: 20 });
  assert.equal(await answer.text(), "too much\n");
});

Deno.test("lingering() returns other responses unchanged", () => {
  const get = new Request("http://a.test/");
  const kept = refusal({});
  const plain = refusal();
  assert.equal(lingering(get, plain), plain);
  const { request } = upload();
  assert.equal(lingering(request, kept), kept);
  const expecting = upload({ expect: "100-continue" }).request;
  assert.equal(lingering(expecting, plain), plain);
});

Deno.test("lingering() gives a body that was read in part a moment to end", async () => {
  const { request, controller } = upload();
  controller.enqueue(new Uint8Array(5));
  await request.body!.getReader().read();
  const answer = lingering(request, refusal(), {
    quietMs: 5,
    lingerMs: 60_000,
  });
  assert.equal(await answer.text(), "too much\n");
});
