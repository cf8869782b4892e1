/**
 * A handler around a handler, which answers whatever happens in that.
 *
 * @module
 */

import { messageOf } from "../base/text.ts";
import { answer } from "../proxy/errors.ts";
import type { Handler } from "../runtime/listener.ts";

/**
 * A handler that answers whatever happens. What gets as far as here is a fault of
 * ours: it costs one request a 500, and not a library's user the process.
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
