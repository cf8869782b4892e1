/**
 * What a test has open right now.
 *
 * A test that reaches its time limit never reaches the end of its `await using`
 * blocks, and its proxy would outlive the test run. So everything that the
 * harness opens is registered here, and `suite.ts` closes the rest.
 *
 * @module
 */

/** Something that has to be closed. */
export interface Open {
  /** For the message about what was left open. */
  readonly label: string;
  /** Closes it, in any state; never rejects. */
  abandon(): Promise<void>;
}

const open = new Set<Open>();

/** Registers `thing` as open. */
export function opened(thing: Open): void {
  open.add(thing);
}

/** Removes `thing` after it was closed. */
export function ended(thing: Open): void {
  open.delete(thing);
}

/** Closes everything that is open; returns the labels. */
export async function closeAll(): Promise<string[]> {
  const left = [...open];
  open.clear();
  await Promise.all(left.map((thing) => thing.abandon()));
  return left.map((thing) => thing.label);
}
