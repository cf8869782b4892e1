// A client of npm `ws`: node ws_client.mjs <folder of ws> <url> [path…]. Prints what
// it saw as JSON, one list a connection.
import { pathToFileURL } from "node:url";

const { WebSocket } = await import(
  pathToFileURL(`${process.argv[2]}/wrapper.mjs`)
);
const base = process.argv[3];

function run(path, protocols, sends, options = {}) {
  return new Promise((resolve) => {
    const seen = [];
    const socket = new WebSocket(base + path, protocols, {
      maxPayload: 32 << 20,
      rejectUnauthorized: false,
      ...options,
    });
    socket.on("unexpected-response", (_, response) => {
      seen.push(`refused ${response.statusCode}`);
      resolve(seen);
    });
    socket.on("open", () => {
      seen.push(`open ${socket.protocol}`);
      for (const [data, how] of sends) socket.send(data, how ?? {});
    });
    socket.on("pong", (data) => seen.push(`pong ${data}`));
    socket.on("message", (data, isBinary) => {
      seen.push(
        isBinary ? `binary ${data.length}` : `text ${data}`.slice(0, 40),
      );
      if (String(data) === "bye") socket.close(3456, "bye bye");
      if (String(data) === "leave") socket.terminate();
    });
    socket.on("error", () => seen.push("error"));
    socket.on("close", (code, reason) => {
      seen.push(`close ${code} ${reason}`);
      resolve(seen);
    });
  });
}

const results = [];
const paths = process.argv.slice(4);
if (paths.length > 0) {
  // What some paths of a raw server look like.
  for (const path of paths) results.push(await run(path, [], []));
} else {
  results.push(await run("/echo", ["a", "b"], [["hi"], ["bye"]]));
  results.push(await run("/greet", [], [["x".repeat(1 << 20)], ["bye"]]));
  results.push(
    await run("/echo", [], [
      [Buffer.alloc(0)],
      [Buffer.alloc(16 << 20)],
      ["häß", { fin: false }],
      ["€", { fin: true }],
      ["bye"],
    ]),
  );
  results.push(
    await run("/echo", [], [["a".repeat(5000), { compress: true }], ["bye"]], {
      perMessageDeflate: { threshold: 0 },
    }),
  );
  for (const code of ["", " 1000", " 1001 a", " 1011 b", " 1013", " 4999 ä"]) {
    results.push(await run("/echo", [], [[`close${code}`]]));
  }
  results.push(await run("/echo", [], [["leave"]]));
}
console.log(JSON.stringify(results));
