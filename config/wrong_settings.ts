/**
 * Settings that cannot be used, each wrong in one way.
 *
 * One table for two tests: that `readSettings()` finds exactly one fault, and
 * that the real program says it on one line and exits with 2. No entry needs a
 * file that exists.
 *
 * @module
 */

/** Settings with exactly one fault. */
export interface WrongSettings {
  /** What is wrong, for the name of a test. */
  readonly name: string;
  /** The whole environment of the program. */
  readonly env: Readonly<Record<string, string>>;
  /** The program's arguments. Default: none. */
  readonly args?: readonly string[];
  /** Matches the one line. */
  readonly wants: RegExp;
}

const A = "http://127.0.0.1:3001";
const B = "http://127.0.0.1:3002";

function backends(list: string, name: string, wants: RegExp): WrongSettings {
  return { name, env: { BACKENDS: list }, wants };
}

/** A setting beside a right `BACKENDS`. */
function setting(
  variable: string,
  value: string,
  wants: RegExp,
): WrongSettings {
  return {
    name: `${variable}=${value}`,
    env: { BACKENDS: A, [variable]: value },
    wants,
  };
}

function flags(args: readonly string[], wants: RegExp): WrongSettings {
  return { name: args.join(" "), env: { BACKENDS: A }, args, wants };
}

/** Each has exactly one fault. */
export const WRONG_SETTINGS: readonly WrongSettings[] = [
  // The list of backends.
  {
    name: "no backends",
    env: {},
    wants: /^BACKENDS: is not set: write BACKENDS=http/,
  },
  {
    name: "BACKEND for BACKENDS",
    env: { BACKEND: A },
    wants: /^BACKENDS: is not set \(but BACKEND is\): write/,
  },
  backends(
    ",\n,",
    "an empty list",
    /^BACKENDS: contains no backend: write http:/,
  ),
  backends(
    "localhost:3000",
    "a backend without scheme",
    /^BACKENDS: "localhost:3000" has no scheme: write http:\/\/localhost:3000$/,
  ),
  backends("//a:3000", "a scheme's slashes alone", /write http:\/\/a:3000$/),
  backends("/run/app.sock", "a bare socket", /write unix:\/run\/app\.sock$/),
  backends(
    "ftp://a",
    "another scheme",
    /"ftp:\/\/a" has an unsupported scheme: write/,
  ),
  backends(
    "ws://a:3000",
    "a WebSocket's scheme",
    /has an unsupported scheme: write http/,
  ),
  backends(
    "http://user:hunter2@a:3000",
    "credentials",
    /^BACKENDS: "http:\/\/\*\*\*@a:3000" contains credentials: write/,
  ),
  backends(
    "http://127.0.0.1:abc",
    "no port",
    /^BACKENDS: "http:\/\/127\.0\.0\.1:abc" has an invalid port: write a number/,
  ),
  backends("http://a/?x=1", "a query", /"http:\/\/a\/\?\*\*\*" has a query/),
  backends("http://a/#x", "a fragment", /"http:\/\/a\/#x" has a fragment/),
  backends(
    "http://a:6000",
    "a blocked port",
    /Fetch §2\.9.*another port than 6000$/,
  ),
  backends("http://a:0", "port 0", /number from 1 to 65535$/),
  backends("http://a:65536", "a port too high", /number from 1 to 65535$/),
  backends("http://:3000", "an empty host", /has no host: write http/),
  backends("http:///a", "no host at all", /has no host: write http/),
  backends(
    "http://a..b",
    "a host with an empty label",
    /neither a name nor an address/,
  ),
  backends(
    "http://0x7f.1",
    "a host that is not what it seems",
    /means 127\.0\.0\.1/,
  ),
  backends(
    "http://[::1",
    "half a bracket",
    /neither a name nor an address|an invalid port/,
  ),
  backends("http://a/b/../c", "dot segments", /has a dot segment/),
  backends("http://a/%2e%2E/c", "encoded dot segments", /has a dot segment/),
  backends(
    "http://a/b//c",
    "an empty path segment",
    /has an empty path segment/,
  ),
  backends("http://a/b^c", "a character that is encoded", /percent-encoded$/),
  backends("http://a\\b", "a backslash", /percent-encoded$/),
  backends(`${A} weight=1001`, "a weight too high", /from 0 to 1000$/),
  backends(`${A} weight=1.5`, "a weight with a fraction", /from 0 to 1000$/),
  backends(`${A} max_conns=0`, "max_conns=0", /from 1 to 1000000$/),
  backends(
    `${A} wieght=3`,
    "an unknown word",
    /has an unknown word: .*weight=3/,
  ),
  backends(`${A} backup backup`, "a word twice", /has backup twice/),
  backends(`${A} name="web"`, "a name in quotes", /has an invalid name/),
  backends(
    `${A} name=x,${B} name=x`,
    "a name twice",
    /a name that is taken, x/,
  ),
  backends(`${A} ${B}`, "no comma between two", /write a comma between them$/),
  backends(
    `${A} resolve`,
    "resolve with an address",
    /no host name to look up/,
  ),
  backends("unix:/a.sock resolve", "resolve with a socket", /no host name/),
  backends("unix:app.sock", "a relative socket", /plain absolute path/),
  backends(
    "http://a.test:80/x,http://A.TEST/x/",
    "a backend twice",
    /"http:\/\/A\.TEST\/x\/" is listed twice, as http:\/\/a\.test\/x/,
  ),
  backends(`${A} weight=0,${B} weight=0`, "no weight", /none would get/),
  backends("http://localhost:8080", "the listener itself", /is this proxy/),
  {
    name: "the listener itself, by its own address",
    env: { BACKENDS: "http://[::1]:81", HOST: "::", PORT: "81" },
    wants: /^BACKENDS: "http:\/\/\[::1\]:81" is this proxy/,
  },
  {
    name: "BACKENDS and BACKENDS_FILE",
    env: { BACKENDS: A, BACKENDS_FILE: "/nowhere/backends" },
    wants:
      /^BACKENDS: is set together with BACKENDS_FILE: set only one of them$/,
  },
  {
    name: "a BACKENDS_FILE that is not there",
    env: { BACKENDS_FILE: "/nowhere/backends" },
    wants: /^BACKENDS_FILE: "\/nowhere\/backends" cannot be read \(/,
  },
  {
    name: "HTTP_PROXY",
    env: { BACKENDS: A, HTTP_PROXY: "http://user:hunter2@proxy:8080" },
    wants:
      /^HTTP_PROXY: would divert .* to 127\.0\.0\.1: unset it, or add to NO_PROXY/,
  },
  {
    name: "the admin port",
    env: { BACKENDS: "http://localhost:9090", ADMIN_PORT: "9090" },
    wants: /^BACKENDS: "http:\/\/localhost:9090" is this proxy's admin port: /,
  },
  {
    name: "NODE_TLS_REJECT_UNAUTHORIZED",
    env: { BACKENDS: "https://a.test", NODE_TLS_REJECT_UNAUTHORIZED: "0" },
    wants: /^NODE_TLS_REJECT_UNAUTHORIZED: would accept any certificate/,
  },
  {
    name: "a proxy for a host that NO_PROXY does not hold",
    env: {
      BACKENDS: "https://a.test,https://b.test",
      all_proxy: "http://proxy:8080",
      NO_PROXY: "a.test",
    },
    wants: /^all_proxy: would divert the requests to b\.test:/,
  },

  // One setting each.
  setting("BACKEND_CA", "/nowhere/ca.pem", /^BACKEND_CA: .* cannot be read \(/),
  setting(
    "BACKEND_CERT",
    "/nowhere/c.pem",
    /^BACKEND_KEY: is missing, but needed with/,
  ),
  setting(
    "TLS_CERT",
    "/nowhere/c.pem",
    /^TLS_KEY: is missing, but needed with TLS_CERT/,
  ),
  setting(
    "TLS_KEY",
    "/nowhere/k.pem",
    /^TLS_CERT: is missing, but needed with TLS_KEY/,
  ),
  setting("TLS_CERT", "/", /^TLS_KEY: is missing, but needed with TLS_CERT/),
  setting("BACKEND_CA", "/", /^BACKEND_CA: "\/" cannot be read \(/),
  {
    name: "PEM in place of its path",
    env: {
      BACKENDS: A,
      BACKEND_CA: "-----BEGIN PRIVATE KEY-----\nhunter2\n",
    },
    wants: /^BACKEND_CA: "\*\*\*" contains PEM: write the path of the file/,
  },
  setting(
    "PORT",
    "65536",
    /^PORT: "65536" is not a port: write .* 0 to 65535$/,
  ),
  setting("PORT", "http", /^PORT: "http" is not a port/),
  setting("HOST", "http://localhost", /^HOST: .* is not an address or a name/),
  setting("HOST", "256.0.0.1", /^HOST: "256\.0\.0\.1" is not an address/),
  setting(
    "REDIRECT_PORT",
    "80",
    /^REDIRECT_PORT: "80" needs TLS: set TLS_CERT and TLS_KEY$/,
  ),
  setting("REDIRECT_PORT", "on", /^REDIRECT_PORT: "on" is not a port: .*off$/),
  setting("WORKERS", "0", /^WORKERS: "0" .* 1 to 256, or auto$/),
  setting(
    "POLICY",
    "fastest",
    /^POLICY: "fastest" is not a policy: .*round_robin/,
  ),
  setting("POLICY", "header:", /^POLICY: "header:" has no valid name/),
  setting("POLICY", "cookie:a b", /^POLICY: "cookie:a b" has no valid name/),
  setting(
    "HEALTH_PATH",
    "health",
    /^HEALTH_PATH: "health" does not begin .*or off$/,
  ),
  setting(
    "HEALTH_PATH",
    "/a?key=hunter2 x",
    /^HEALTH_PATH: "\/a\?\*\*\*" has a character/,
  ),
  setting("HEALTH_PATH", "/a b", /^HEALTH_PATH: "\/a b" has a character/),
  setting("HEALTH_STATUS", "2xx", /^HEALTH_STATUS: "2xx" is not a list/),
  setting(
    "HEALTH_STATUS",
    "399-200",
    /^HEALTH_STATUS: "399-200" is not a list/,
  ),
  setting("HEALTH_INTERVAL", "5", /^HEALTH_INTERVAL: "5" has no unit: .* 5s$/),
  setting("HEALTH_INTERVAL", "1s", /not over HEALTH_TIMEOUT \(2s by default\)/),
  setting(
    "HEALTH_TIMEOUT",
    "5s",
    /not under HEALTH_INTERVAL \(5s by default\)/,
  ),
  setting("HEALTH_RISE", "0", /^HEALTH_RISE: "0" .* 1 to 100$/),
  setting("HEALTH_FALL", "-1", /^HEALTH_FALL: "-1" .* 1 to 100$/),
  setting("EJECT_AFTER", "0", /^EJECT_AFTER: "0" .* 1 to 1000, or off$/),
  setting("EJECT_TIME", "6m", /^EJECT_TIME: "6m" is out of bounds: .* 5m$/),
  setting("SLOW_START", "0", /^SLOW_START: "0" has no unit: .*, or off$/),
  setting("RETRIES", "11", /^RETRIES: "11" .* 0 to 10, or off$/),
  setting(
    "RETRY_BUDGET",
    "0.2",
    /^RETRY_BUDGET: "0\.2" is not a share: .* 20%$/,
  ),
  setting("RETRY_BUDGET", "101%", /^RETRY_BUDGET: "101%" is not a share/),
  setting("TIMEOUT", "30 s", /^TIMEOUT: "30 s" is not a duration: write a/),
  setting("TIMEOUT", "597h", /^TIMEOUT: "597h" is out of bounds: .* 24h$/),
  setting(
    "TRANSPORT",
    "sockets",
    /^TRANSPORT: "sockets" is not valid: write auto, fetch or socket$/,
  ),
  setting(
    "CONNECT_TIMEOUT",
    "off",
    /^CONNECT_TIMEOUT: "off" is not a duration: /,
  ),
  setting(
    "CLIENT_TIMEOUT",
    "60",
    /^CLIENT_TIMEOUT: "60" has no unit: .*, or off$/,
  ),
  setting("MAX_MESSAGE", "65MB", /^MAX_MESSAGE: "65MB" is out of bounds: /),
  setting(
    "HEALTH_HOST",
    "http://app",
    /^HEALTH_HOST: "http:\/\/app" is not a host: write /,
  ),
  setting("RESUME", "yes", /^RESUME: "yes" is not valid: write on or off$/),
  setting(
    "IDLE_TIMEOUT",
    "0s",
    /^IDLE_TIMEOUT: "0s" is out of bounds: .*or off$/,
  ),
  setting(
    "MAX_BODY",
    "10M",
    /^MAX_BODY: "10M" is not a size: .*10MB.*, or off$/,
  ),
  setting(
    "MAX_BODY",
    "1000",
    /^MAX_BODY: "1000" has no unit: .* 1000MB, or off$/,
  ),
  setting(
    "MAX_IN_FLIGHT",
    "1e3",
    /^MAX_IN_FLIGHT: "1e3" .* 1000000, or auto, or off$/,
  ),
  setting(
    "RATE_LIMIT",
    "50",
    /^RATE_LIMIT: "50" is not a rate: .* such as 50\/s, or off$/,
  ),
  setting("RATE_LIMIT", "0/s", /^RATE_LIMIT: "0\/s" is out of bounds: .* off$/),
  setting(
    "HOST_HEADER",
    "keep",
    /^HOST_HEADER: "keep" .* auto, preserve or backend$/,
  ),
  setting(
    "TRUSTED_PROXIES",
    "10.0.0.0/33",
    /^TRUSTED_PROXIES: "10\.0\.0\.0\/33" is/,
  ),
  setting(
    "TRUSTED_PROXIES",
    "proxy.test",
    /^TRUSTED_PROXIES: .* write addresses/,
  ),
  setting("VIA", "true", /^VIA: "true" is not valid: write on or off$/),
  setting("REQUEST_ID", "1", /^REQUEST_ID: "1" is not valid: write on or off$/),
  setting("TRACE", "ON", /^TRACE: "ON" is not valid: write on or off$/),
  setting("ACCESS_LOG", "on", /^ACCESS_LOG: "on" .* json or combined, or off$/),
  setting("LOG_QUERY", "no", /^LOG_QUERY: "no" is not valid: write on or off$/),
  setting("ADMIN_PORT", "on", /^ADMIN_PORT: "on" is not a port: .*, or off$/),
  setting("ADMIN_PORT", "8080", /^ADMIN_PORT: "8080" is also PORT/),
  setting("ADMIN_HOST", "localhost,http://x", /^ADMIN_HOST: .* not an address/),
  setting("ADMIN_HOST", "127.0.0.1/8", /^ADMIN_HOST: "127\.0\.0\.1\/8" is not/),
  setting(
    "ADMIN_TOKEN",
    "hunter2",
    /^ADMIN_TOKEN: "\*\*\*" has 7 characters: write 16/,
  ),
  setting(
    "ADMIN_TOKEN",
    "correct horse battery",
    /^ADMIN_TOKEN: "\*\*\*" is not valid/,
  ),
  setting("DRAIN_DELAY", "2h", /^DRAIN_DELAY: "2h" is out of bounds: .* 1h$/),
  setting("DRAIN_TIMEOUT", "off", /^DRAIN_TIMEOUT: "off" is not a duration/),
  setting(
    "HEALTH_PATHS",
    "/x",
    /^HEALTH_PATHS: is not a setting: write HEALTH_PATH,/,
  ),
  setting(
    "RETRY",
    "1",
    /^RETRY: is not a setting: write RETRIES, or unset it$/,
  ),

  // The flags.
  flags(["--prot", "80"], /^"--prot" is not a flag: write --port$/),
  flags(
    ["--health_path=/x"],
    /^"--health_path" is not a flag: write --health-path$/,
  ),
  flags(
    ["--admin-tokn=hunter2"],
    /^"--admin-tokn" is not a flag: write --admin-token$/,
  ),
  flags(
    ["ADMIN_TOKEN=hunter2hunter2hunter2"],
    /^"ADMIN_TOKEN=\*\*\*" is not a flag: write --name=value$/,
  ),
  flags(
    ["--admin-token", "hunter2hunter2hunter2", "hunter2"],
    /^"\*\*\*" is not a flag: write --name=value$/,
  ),
  flags(["--colour-of-the-sky"], /is not a flag: --help lists them$/),
  flags(["serve"], /^"serve" is not a flag: write --name=value$/),
  flags(["--port"], /^--port: has no value: write --port=value$/),
  flags(["--port="], /^--port: has no value: write --port=value$/),
  flags(["--resume", "--check"], /^--resume: has no value/),
  flags(["--port", "0", "--port=0"], /^--port: is given twice: write it once$/),
  flags(["--check=yes"], /^--check: takes no value/),
  flags(["--timeout", "5"], /^--timeout: "5" has no unit: .* 5s$/),
];
