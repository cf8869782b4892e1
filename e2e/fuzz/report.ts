/**
 * What a run of fuzzing has come to.
 *
 * @module
 */

import type { ProxyProcess } from "../harness/proxy.ts";

/** What no input may bring into the log. */
const ODD_LINE =
  /uncaught|unhandled|panicked|internal error|(?:Type|Range|Reference)Error/i;

/** Number of violations of one kind that are kept; all are counted. */
const KEPT = 30;

/** Counts, and what must never be. */
export class Report {
  readonly counts = new Map<string, number>();
  readonly violations = new Map<string, string[]>();
  readonly samples = new Map<string, string[]>();

  constructor(readonly what: string) {}

  count(name: string): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
  }

  /** Notes what must never be. */
  violation(kind: string, text: string): void {
    this.count(`VIOLATION ${kind}`);
    keep(this.violations, kind, text);
  }

  /** Records an example of an allowed result, to be looked at. */
  sample(kind: string, text: () => string): void {
    if ((this.samples.get(kind)?.length ?? 0) < KEPT) {
      keep(this.samples, kind, text());
    }
  }

  /** Checks that a process still runs. */
  process(proxy: ProxyProcess): void {
    if (proxy.exited !== undefined) {
      const { code } = proxy.exited;
      this.violation("crash", `ended with ${code}: ${proxy.log.slice(-2_000)}`);
    }
    for (const line of proxy.stderr) {
      if (ODD_LINE.test(line)) this.violation("log", line);
    }
  }

  /** How often something must never have been. */
  get bad(): number {
    let sum = 0;
    for (const [name, count] of this.counts) {
      if (name.startsWith("VIOLATION ")) sum += count;
    }
    return sum;
  }

  /** Counts as lines, and the violations that were kept. */
  text({ samples = false } = {}): string {
    const lines = [this.what];
    for (const [name, count] of [...this.counts].sort()) {
      lines.push(`  ${String(count).padStart(7)} ${name}`);
    }
    for (const [kind, texts] of this.violations) {
      for (const text of texts) lines.push(`${kind}: ${text}`);
    }
    if (samples) {
      for (const [kind, texts] of this.samples) {
        for (const text of texts) lines.push(`(${kind}): ${text}`);
      }
    }
    return lines.join("\n");
  }
}

function keep(to: Map<string, string[]>, kind: string, text: string): void {
  const kept = to.get(kind) ?? [];
  to.set(kind, kept);
  if (kept.length < KEPT) kept.push(text);
}
