// An echo server of npm `ws`: node ws_server.mjs <folder of ws>. Says its port.
// A message "close 4000 why" closes, "cut" ends without a close frame.
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const { WebSocketServer } = await import(
  pathToFileURL(`${process.argv[2]}/wrapper.mjs`)
);
const server = createServer((request, response) => {
  if (request.method === "POST") {
    // What a browser's page has to tell.
    let text = "";
    request.on("data", (piece) => text += piece);
    request.on("end", () => {
      console.log(`result ${text}`);
      response.end();
    });
    return;
  }
  response.setHeader("content-type", "text/html; charset=utf-8");
  response.end(request.url === "/page" ? PAGE : "up");
});
const sockets = new WebSocketServer({
  server,
  maxPayload: 32 << 20,
  handleProtocols: (asked) => asked.has("b") ? "b" : false,
});
sockets.on("connection", (socket, request) => {
  if (request.url.startsWith("/greet")) socket.send("hello");
  socket.on("message", (data, isBinary) => {
    const text = isBinary ? "" : String(data);
    if (text === "cut") return socket.terminate();
    const close = /^close(?: (\d+)(?: (.*))?)?$/.exec(text);
    if (close === null) return socket.send(data, { binary: isBinary });
    if (close[1] === undefined) socket.close();
    else socket.close(Number(close[1]), close[2]);
  });
  socket.on("error", () => {});
  socket.on("close", (code, reason) => console.log(`closed ${code} ${reason}`));
});
server.listen(
  0,
  "127.0.0.1",
  () => console.log(`port ${server.address().port}`),
);

const PAGE = `<!doctype html><script type="module">
const results = [];
function run(path, protocols, sends) {
  return new Promise((resolve) => {
    const seen = [];
    const socket = new WebSocket("ws://" + location.host + path, protocols);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      seen.push("open " + socket.protocol);
      for (const data of sends) socket.send(data);
    };
    socket.onmessage = ({ data }) => {
      seen.push(typeof data === "string" ? data : "binary " + data.byteLength);
      if (data === "bye") socket.close(4321, "grüße");
    };
    socket.onclose = ({ code, reason, wasClean }) => {
      seen.push("close " + code + " " + reason + " " + wasClean);
      resolve(seen);
    };
  });
}
results.push(await run("/echo", ["a", "b"], ["hi", new Uint8Array(70000), "bye"]));
results.push(await run("/greet", [], ["ä€😀", "close 4000 why"]));
results.push(await run("/echo", [], ["close"]));
results.push(await run("/echo", [], ["close 1011 e"]));
await fetch("/result", { method: "POST", body: JSON.stringify(results) });
</script>`;
