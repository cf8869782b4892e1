// Whether the proxy in this container can answer requests, as an exit code.

import process from "node:process";

const url = `http://127.0.0.1:${process.env.ADMIN_PORT}/readyz`;
try {
  const { ok } = await fetch(url, { signal: AbortSignal.timeout(2_000) });
  process.exit(ok ? 0 : 1);
} catch {
  process.exit(1);
}
