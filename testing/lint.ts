/**
 * Two rules for `deno lint`: a published file has at most 450 lines, and a
 * function in it at most 60. A longer one contains a second idea that needs its
 * own place.
 *
 * @module
 */

import { isShipped } from "./shipped.ts";

const MOST_LINES = 450;
const MOST_FUNCTION_LINES = 60;
const ROOT = new URL("..", import.meta.url).pathname;

/** Whether a linted file is published. */
function shipped(filename: string): boolean {
  return filename.startsWith(ROOT) && isShipped(filename.slice(ROOT.length));
}

/** Number of lines; the last line break does not begin another. */
function linesOf(text: string): number {
  return text.trimEnd().split("\n").length;
}

/** What is used of the linter's types, which are not among the stable ones. */
interface Node {
  readonly type: string;
}
interface Context {
  readonly filename: string;
  readonly sourceCode: { readonly text: string; getText(node: Node): string };
  report(found: { node: Node; message: string }): void;
}
type Visitor = Record<string, (node: Node) => void>;

/** Reports a file that is too long. */
function longFile(context: Context): Visitor {
  return {
    Program(node) {
      const lines = linesOf(context.sourceCode.text);
      if (lines <= MOST_LINES) return;
      context.report({
        node,
        message: `${lines} lines in a file, over ${MOST_LINES}`,
      });
    },
  };
}

/** Reports each function that is too long. */
function longFunction(context: Context): Visitor {
  const visit = (node: Node) => {
    const lines = linesOf(context.sourceCode.getText(node));
    if (lines <= MOST_FUNCTION_LINES) return;
    context.report({
      node,
      message: `${lines} lines in a function, over ${MOST_FUNCTION_LINES}`,
    });
  };
  return {
    FunctionDeclaration: visit,
    FunctionExpression: visit,
    ArrowFunctionExpression: visit,
  };
}

/** Limits a rule to published files. */
function rule(visitor: (context: Context) => Visitor) {
  return {
    create: (context: Context): Visitor =>
      shipped(context.filename) ? visitor(context) : {},
  };
}

export default {
  name: "house",
  rules: {
    "long-file": rule(longFile),
    "long-function": rule(longFunction),
  },
};
