/**
 * Makes a handler that always answers.
 *
 * @module
 */

import { messageOf } from "../base/text.ts";
import { answer } from "../proxy/errors.ts";
import type { Handler } from "../runtime/listener.ts";

/**
 * Wraps a handler so that it always answers. An error that arrives here is a
 * bug of ours: it costs one request a 500, and does not end a user's process.
 */
export function answering(
  handle: Handler,
  log: (line: string) => void,
): Handler {
  const failed = (error: unknown) => {
    log(`cannot answer a request: ${messageOf(error)}`);
    return answer(500, "proxy_internal_error");
  };
  return (request, connection) => {
    try {
      const answered = handle(request, connection);
      return answered instanceof Promise ? answered.catch(failed) : answered;
    } catch (error) {
      return failed(error);
    }
  };
}
