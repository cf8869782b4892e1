/**
 * A backend of the soak, in its own process, which can be killed.
 *
 * `/large` sends 256 KB, `/events` an event every 100 ms for as long as the
 * client stays, `/slow` takes 50 ms, `/stuck` never ends, `/dribble` sends 10
 * bytes a second, `/ws` echoes messages; everything else returns the number of
 * bytes that it received.
 *
 * @module
 */

const LARGE = new Uint8Array(256 * 1024).fill(0x78);
const encoder = new TextEncoder();

/**
 * A body that gets another chunk after each interval, until it is cancelled.
 */
function every(ms: number, piece: (count: number) => string) {
  let timer: ReturnType<typeof setInterval>;
  let count = 0;
  return new ReadableStream<Uint8Array>({
    start(controller) {
      const send = () => controller.enqueue(encoder.encode(piece(count++)));
      send();
      timer = setInterval(send, ms);
    },
    cancel() {
      clearInterval(timer);
    },
  });
}

function events(): Response {
  return new Response(
    every(100, (count) => `id: ${count}\ndata: ${count}\n\n`),
    {
      headers: { "content-type": "text/event-stream" },
    },
  );
}

function echo(request: Request): Response {
  const { socket, response } = Deno.upgradeWebSocket(request);
  socket.onmessage = ({ data }) => socket.send(data);
  // A client that resets: nothing to do, and no reason to end the process.
  socket.onerror = (event) => event.preventDefault();
  return response;
}

if (import.meta.main) {
  Deno.serve({
    port: Number(Deno.args[0]),
    hostname: "127.0.0.1",
    onListen: () => console.log("ready"),
    // An upload that its client has cut.
    onError: () => new Response("cut", { status: 400 }),
  }, async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/large") return new Response(LARGE);
    if (pathname === "/events") return events();
    if (pathname === "/ws") return echo(request);
    if (pathname === "/dribble") return new Response(every(100, () => "x"));
    if (pathname === "/stuck") await new Promise(() => {});
    if (pathname === "/slow") {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return new Response(String((await request.bytes()).byteLength));
  });
}
