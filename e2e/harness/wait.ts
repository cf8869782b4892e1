/**
 * Waiting for something in another process or on a socket. No test sleeps for a
 * fixed time, which is too long on a quiet machine and too short on a busy one.
 *
 * @module
 */

/** Resolves after `ms`; for tests about the delay itself. */
export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Options for {@linkcode until}. */
export interface UntilOptions {
  /** @default {5_000} */
  timeoutMs?: number;
  /** @default {10} */
  everyMs?: number;
  /** What is awaited; a function is called at the time limit. */
  what?: string | (() => string);
}

/**
 * Calls the condition until its result is truthy, and returns that.
 *
 * @throws {Error} If it never is in the given time; an error of the condition
 * itself is rethrown at once.
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  { timeoutMs = 5_000, everyMs = 10, what }: UntilOptions = {},
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  while (true) {
    const answer = await condition();
    if (answer) return answer;
    if (performance.now() >= deadline) {
      const text = typeof what === "function" ? what() : what;
      throw new Error(
        `Waited ${timeoutMs} ms in vain for ${text ?? condition.toString()}`,
      );
    }
    await delay(everyMs);
  }
}

/**
 * The promise, or a rejection after `ms`. The timer is cleared.
 *
 * @throws {Error} If the promise has not settled in time.
 */
export async function within<T>(
  promise: Promise<T>,
  ms: number,
  what: string | (() => string),
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const text = typeof what === "function" ? what() : what;
      reject(new Error(`Waited ${ms} ms in vain for ${text}`));
    }, ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
