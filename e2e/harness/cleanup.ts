/**
 * What a test has open right now.
 *
 * A test that runs into its time limit never reaches the end of its `await
 * using` blocks, and a proxy that nobody ends would outlive the test run. So
 * everything the harness opens is kept here, and `suite.ts` closes what is left.
 *
 * @module
 */

/** Something that has to be closed. */
export interface Open {
  /** For the message about what was left open. */
  readonly label: string;
  /** Closes it, whatever state it is in; never rejects. */
  abandon(): Promise<void>;
}

const open = new Set<Open>();

/** Notes that `thing` is open. */
export function opened(thing: Open): void {
  open.add(thing);
}

/** Notes that `thing` was closed. */
export function ended(thing: Open): void {
  open.delete(thing);
}

/** Closes what is open; the labels say what it was. */
export async function closeAll(): Promise<string[]> {
  const left = [...open];
  open.clear();
  await Promise.all(left.map((thing) => thing.abandon()));
  return left.map((thing) => thing.label);
}
