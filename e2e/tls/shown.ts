/**
 * Which certificate a server shows.
 *
 * @module
 */

import tls from "node:tls";

/** The name of the certificate that a new connection is shown. */
export async function shownAt(port: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = tls.connect({
    host: "127.0.0.1",
    port,
    servername: "localhost",
    rejectUnauthorized: false,
  }, () => resolve(String(socket.getPeerCertificate().subject.CN)));
  socket.on("error", reject);
  try {
    return await promise;
  } finally {
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.destroy();
    await closed;
  }
}
