/**
 * Deno's own server, which upgrades a request some time after it came.
 */

const server = Deno.serve(
  { port: 0, hostname: "127.0.0.1", onListen() {} },
  async (request) => {
    console.error("asked");
    await new Promise((resolve) => setTimeout(resolve, 200));
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onopen = () => console.error("open");
    socket.onclose = () => console.error("close");
    socket.onerror = (event) => {
      event.preventDefault();
      console.error("error");
    };
    console.error("upgraded");
    return response;
  },
);
console.error(`listening on http://127.0.0.1:${server.addr.port}`);
