/**
 * The recipes in `examples/deploy`: their contents are linted, validated
 * against schemas, and run unchanged, as the user that they name.
 */

import assert from "node:assert/strict";
import { readSettings } from "../config/config.ts";
import { CERT, KEY } from "../testing/certificates.ts";
import { npmTool, ROOT } from "../testing/tools.ts";
import { fileOf, Image } from "./deploy/image.ts";
import { judged, kubernetesText, type Manifest } from "./deploy/manifests.ts";
import { rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { portOf } from "./harness/admin.ts";
import { type Runtime } from "./harness/proxy.ts";
import {
  type CaseOptions,
  forBoth,
  forOnce,
  skippedWithout,
} from "./harness/suite.ts";
import { until } from "./harness/wait.ts";
import { Authority, HERE } from "./tls/certificates.ts";

/** The linters and schemas come from npm the first time. */
const NODE: CaseOptions = { ...skippedWithout("node"), timeoutMs: 180_000 };

const GET = requestText("GET", "/");

async function lint(path: string): Promise<Deno.CommandOutput> {
  const { modules } = await npmTool("dockerfile-utils", "0.16.3");
  return await new Deno.Command("node", {
    args: [`${modules}/dockerfile-utils/bin/dockerfile-utils`, "lint", path],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
}

forBoth(
  "the Dockerfile passes its linter",
  NODE,
  async (runtime) => {
    const { code, stdout } = await lint(fileOf(runtime));
    assert.equal(code, 0, new TextDecoder().decode(stdout));
    const wrong = await Deno.makeTempFile();
    try {
      const text = Deno.readTextFileSync(fileOf(runtime));
      await Deno.writeTextFile(
        wrong,
        text.replace("EXPOSE 8080", "EXPOSE web"),
      );
      assert.equal((await lint(wrong)).code, 1);
    } finally {
      await Deno.remove(wrong);
    }
  },
);

forBoth(
  "the image runs without root, reports its health, and stops on SIGTERM",
  {
    ...skippedWithout("setpriv"),
    timeoutMs: 120_000,
  },
  async (runtime) => {
    await using image = await Image.make(runtime);
    assert.match(image.recipe.user, /^[1-9]\d*:[1-9]\d*$/);
    assert.match(
      image.recipe.entrypoint[0]!,
      /^\/usr\/local\/bin\/(?:deno|bun)$/,
    );
    for (const workers of ["1", "2"]) {
      const backend = await rawBackend();
      try {
        await using proxy = await image.start({
          BACKENDS: backend.url,
          HEALTH_INTERVAL: "500ms",
          HEALTH_TIMEOUT: "490ms",
          HEALTH_FALL: "1",
          PORT: "0",
          HOST: "127.0.0.1",
          ADMIN_PORT: "0",
          WORKERS: workers,
        });
        assert.equal((await rawRequest(proxy.port, GET)).status, 200);
        const [, url] = await proxy.waitForLine(/dashboard at (http:\S+)\/$/);
        const health = () => image.health({ ADMIN_PORT: String(portOf(url!)) });
        assert.equal(await health(), 0, proxy.log);
        await backend.stop();
        await until(async () => await health() === 1, { timeoutMs: 10_000 });
        assert.doesNotMatch(proxy.log, /denied|EACCES|EROFS|NotCapable/);
        proxy.signal("SIGTERM");
        assert.equal((await proxy.waitForExit()).code, 0);
      } finally {
        await backend.stop();
      }
    }
  },
);

forBoth("the image loads a renewed certificate without root", {
  ...skippedWithout("setpriv", "openssl"),
  timeoutMs: 120_000,
}, async (runtime) => {
  await using ca = await Authority.make();
  await using backend = await rawBackend();
  await using image = await Image.make(runtime);
  const write = async () => {
    const { cert, key } = await ca.sign(HERE);
    await Deno.writeTextFile(`${image.root}/etc/sluice/tls.crt`, cert);
    await Deno.writeTextFile(`${image.root}/etc/sluice/tls.key`, key);
  };
  await write();
  await using proxy = await image.start({
    BACKENDS: backend.url,
    PORT: "0",
    HOST: "127.0.0.1",
    ADMIN_PORT: "off",
    TLS_CERT: "/etc/sluice/tls.crt",
    TLS_KEY: "/etc/sluice/tls.key",
  });
  await write();
  await proxy.waitForLine(/TLS_CERT read, used for new connections/);
  const tls = { ca: ca.cert, servername: "localhost" };
  assert.equal((await rawRequest(proxy.port, GET, { tls })).status, 200);
});

/** The only object of a kind and name. */
function pick(all: readonly Manifest[], kind: string, name: string): Manifest {
  const found = all.filter((one) =>
    one.kind === kind && one.metadata.name === name
  );
  assert.equal(found.length, 1, `${kind} ${name}`);
  return found[0]!;
}

forOnce("the Kubernetes manifests match the schemas", NODE, async () => {
  const text = kubernetesText();
  for (const { fault } of await judged(text)) assert.equal(fault, null);
  // So that the test above means something.
  const broken: [what: string, by: string, fault: RegExp][] = [
    ["replicas: 2", "replicas: two", /^Deployment: .*replicas/],
    ["livenessProbe:", "livenessProb:", /^Deployment: unknown: livenessProb$/],
    ["clusterIP: None", "clusterip: None", /^Service: unknown: clusterip$/],
    ["minAvailable: 1", "minAvailable: [1]", /^PodDisruptionBudget: /],
  ];
  for (const [what, by, fault] of broken) {
    const faults = await judged(text.replace(what, by));
    const found = faults.flatMap((one) => one.fault ?? []);
    assert.equal(found.length, 1, by);
    assert.match(found[0]!, fault);
  }
});

/** The environment of the manifests' pods. */
async function pod() {
  const all = (await judged(kubernetesText())).map(({ manifest }) => manifest);
  const deployment = pick(all, "Deployment", "sluice");
  const { spec } = deployment["spec"].template;
  const env: Record<string, string> = pick(all, "ConfigMap", "sluice")["data"];
  return { all, deployment, spec, container: spec.containers[0], env };
}

forOnce(
  "the Kubernetes manifests fit together, and with the settings",
  NODE,
  async () => {
    const { all, deployment, spec, container, env } = await pod();
    const config = readSettings(
      [],
      (name) => env[name],
      Object.keys(env),
      (path) => {
        assert.match(path, /^\/etc\/sluice\/tls\/tls\.(?:crt|key)$/);
        return path.endsWith("key") ? KEY : CERT;
      },
    );
    assert.ok(config.kind === "run", JSON.stringify(config));
    const { serve } = config;
    // Enough time for a pod to end, with a margin.
    const drainMs = serve.drainDelayMs! + serve.drainTimeoutMs!;
    assert.ok(spec.terminationGracePeriodSeconds * 1000 > drainMs + 2_000);
    // Probes and Services refer to existing ports.
    const ports: { name: string; containerPort: number }[] = container.ports;
    const portNamed = (name: string) =>
      ports.find((one) => one.name === name)?.containerPort;
    assert.equal(portNamed("https"), serve.port);
    assert.equal(portNamed("http"), serve.redirectPort);
    assert.ok(serve.admin);
    assert.equal(portNamed("admin"), serve.admin.port);
    const service = pick(all, "Service", "sluice")["spec"];
    for (const { port, targetPort } of service.ports) {
      // Clients are redirected to PORT, so it must be the port they connect to.
      assert.equal(port, portNamed(targetPort));
    }
    // `resolve` looks up a headless Service.
    const [backend] = config.proxy.backends;
    const { hostname, port } = new URL(backend!.url);
    assert.equal(backend!.resolve, true);
    const pool = pick(all, "Service", hostname)["spec"];
    assert.equal(pool.clusterIP, "None");
    assert.equal(String(pool.ports[0].port), port);
    // At least one pod remains while another is removed.
    const budget = pick(all, "PodDisruptionBudget", "sluice")["spec"];
    assert.ok(deployment["spec"].replicas > budget.minAvailable);
    for (
      const selector of [
        deployment["spec"].selector.matchLabels,
        budget.selector.matchLabels,
        service.selector,
      ]
    ) {
      assert.deepEqual(
        selector,
        deployment["spec"].template.metadata.labels,
      );
    }
    assert.equal(spec.securityContext.runAsNonRoot, true);
    assert.equal(container.securityContext.readOnlyRootFilesystem, true);
  },
);

/** Probes like a kubelet: by the pod's address. */
async function probed(
  admin: number,
  { httpGet }: { httpGet: { path: string } },
): Promise<number> {
  const answer = await rawRequest(
    admin,
    requestText("GET", httpGet.path, { host: `10.0.0.7:${admin}` }),
  );
  return answer.status;
}

forBoth("a pod of the manifests is probed, and ends within its time", {
  ...skippedWithout("setpriv", "openssl", "node"),
  timeoutMs: 180_000,
}, async (runtime: Runtime) => {
  await using ca = await Authority.make();
  await using backend = await rawBackend();
  await using image = await Image.make(runtime);
  const { spec, container, env } = await pod();
  const { cert, key } = await ca.sign(HERE);
  await Deno.mkdir(`${image.root}/etc/sluice/tls`);
  await Deno.writeTextFile(`${image.root}/etc/sluice/tls/tls.crt`, cert);
  await Deno.writeTextFile(`${image.root}/etc/sluice/tls/tls.key`, key);
  await using proxy = await image.start({
    ...env,
    // Names and ports of this machine.
    BACKENDS: backend.url,
    HOST: "127.0.0.1",
    PORT: "0",
    REDIRECT_PORT: "0",
    ADMIN_PORT: "0",
    ADMIN_HOST: "127.0.0.1",
  });
  const [, url] = await proxy.waitForLine(/dashboard at (http:\S+)\/$/);
  const admin = portOf(url!);
  const { startupProbe, livenessProbe, readinessProbe } = container;
  for (const probe of [startupProbe, livenessProbe, readinessProbe]) {
    assert.equal(await probed(admin, probe), 200);
  }
  const began = performance.now();
  proxy.signal("SIGTERM");
  await until(async () => await probed(admin, readinessProbe) === 503, {
    timeoutMs: 3_000,
  });
  // Alive, and still serving clients that do not know yet.
  assert.equal(await probed(admin, livenessProbe), 200);
  const tls = { ca: ca.cert, servername: "localhost" };
  assert.equal((await rawRequest(proxy.port, GET, { tls })).status, 200);
  const grace = spec.terminationGracePeriodSeconds * 1000;
  assert.equal((await proxy.waitForExit(grace)).code, 0);
  assert.ok(performance.now() - began < grace);
});

const UNIT = `${ROOT}/examples/deploy/sluice.service`;

async function systemd(
  ...args: string[]
): Promise<[code: number, text: string]> {
  const { code, stdout, stderr } = await new Deno.Command("systemd-analyze", {
    args,
    env: { SYSTEMD_COLORS: "0", SYSTEMD_PAGER: "" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const decoder = new TextDecoder();
  return [code, decoder.decode(stdout) + decoder.decode(stderr)];
}

forOnce("the systemd unit is right, and leaves little to an attacker", {
  ...skippedWithout("systemd-analyze"),
}, async () => {
  const folder = await Deno.makeTempDir();
  try {
    // It looks for the programs that a unit names.
    const unit = `${folder}/sluice.service`;
    const text = Deno.readTextFileSync(UNIT)
      .replaceAll("/usr/local/bin/deno", "/bin/true")
      .replaceAll("#ExecStart=/usr/local/bin/bun", "#ExecStart=/bin/true");
    await Deno.writeTextFile(unit, text);
    const [code, said] = await systemd("verify", "--man=no", unit);
    assert.deepEqual([code, said], [0, ""]);
    await Deno.writeTextFile(unit, text.replace("UMask=", "Umask="));
    assert.match((await systemd("verify", "--man=no", unit))[1], /Umask/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  const exposure = async (path: string) => {
    const [, text] = await systemd(
      "security",
      "--offline=true",
      "--no-pager",
      path,
    );
    return Number(/exposure level for \S+: (\d+\.\d)/.exec(text)?.[1]);
  };
  assert.ok(await exposure(UNIT) <= 2, `${await exposure(UNIT)}`);
});

Deno.test("the systemd unit gives it the time that it needs, and signals that it knows", () => {
  const lines = Deno.readTextFileSync(UNIT).split("\n");
  const value = (name: string) =>
    lines.find((line) => line.startsWith(`${name}=`))?.slice(name.length + 1);
  assert.match(value("TimeoutStopSec")!, /^30s$/);
  assert.equal(value("ExecReload"), "/bin/kill -HUP $MAINPID");
  assert.equal(value("KillMode"), "mixed");
});
