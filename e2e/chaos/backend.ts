/**
 * A backend that can be killed: its own process. For each complete request it
 * writes a line to the file that it is started with, before it responds, so
 * that the record survives a kill.
 *
 * `/slow` takes 20 ms, `/any` takes and sends something random, and `/hang`
 * never ends on the first backend of a case, the one started with `hangs`;
 * everything else is answered at once. While a file `<name>.draining` exists
 * beside that file, its probe fails; other requests are still answered.
 *
 * @module
 */

const encoder = new TextEncoder();
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Something late, in pieces, and with or without a length. */
async function anything(): Promise<Response> {
  await pause(Math.random() * 20);
  const sizes = [2, 60_000, 300_000];
  const size = sizes[Math.floor(Math.random() * sizes.length)]!;
  if (Math.random() < 0.5) return new Response(new Uint8Array(size));
  let sent = 0;
  return new Response(
    new ReadableStream({
      async pull(controller) {
        await pause(Math.random() * 10);
        controller.enqueue(new Uint8Array(Math.ceil(size / 5)));
        if (++sent === 5) controller.close();
      },
    }),
  );
}

if (import.meta.main) {
  const [port, path, manner] = Deno.args;
  const file = Deno.openSync(path!, { append: true, create: true });
  Deno.serve({
    port: Number(port),
    hostname: "127.0.0.1",
    onListen: () => console.log("ready"),
    // An upload that its client has cut.
    onError: () => new Response("cut", { status: 400 }),
  }, async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/health") {
      try {
        Deno.statSync(`${path}.draining`);
        return new Response("draining", { status: 503 });
      } catch {
        return new Response("ok");
      }
    }
    const id = request.headers.get("x-id");
    const size = (await request.bytes()).byteLength;
    file.writeSync(encoder.encode(`${request.method} ${id} ${size}\n`));
    if (pathname === "/hang" && manner === "hangs") await new Promise(() => {});
    if (pathname === "/slow") await pause(20);
    return pathname === "/any" ? anything() : new Response("ok");
  });
}
