/**
 * The Kubernetes manifests, read and held against the schemas of Kubernetes.
 *
 * @module
 */

import assert from "node:assert/strict";
import { npmTool, ROOT } from "../../testing/tools.ts";

/** An object of Kubernetes. */
export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string };
  // deno-lint-ignore no-explicit-any -- its shape is what the schemas say
  [field: string]: any;
}

/** An object, and what is wrong with it by its schema. */
export interface Judged {
  manifest: Manifest;
  fault: string | null;
}

/** The manifests beside the Dockerfile. */
export function kubernetesText(): string {
  return Deno.readTextFileSync(`${ROOT}/examples/deploy/kubernetes.yaml`);
}

/** Reads manifests. */
export async function judged(text: string): Promise<Judged[]> {
  const yaml = await npmTool("yaml", "2.9.1");
  const models = await npmTool("kubernetes-models", "5.1.0");
  const child = new Deno.Command("node", {
    args: [
      `${ROOT}/e2e/deploy/schemas.mjs`,
      `${yaml.modules}/yaml`,
      `${models.modules}/kubernetes-models`,
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  assert.equal(code, 0, decoder.decode(stderr));
  return JSON.parse(decoder.decode(stdout));
}
