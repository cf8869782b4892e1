/**
 * Two rules of this house for `deno lint`: a file that is published has at most
 * 450 lines, a function in it at most 60. Past that there is a second idea in it
 * that wants a place of its own.
 *
 * @module
 */

import { isShipped } from "./shipped.ts";

const MOST_LINES = 450;
const MOST_FUNCTION_LINES = 60;
const ROOT = new URL("..", import.meta.url).pathname;

/** Whether a file that is linted is published. */
function shipped(filename: string): boolean {
  return filename.startsWith(ROOT) && isShipped(filename.slice(ROOT.length));
}

/** Lines of a text; its last line break ends a line and begins none. */
function linesOf(text: string): number {
  return text.trimEnd().split("\n").length;
}

/** Reports each function that is longer than one may be. */
function longFunctions(
  context: Deno.lint.RuleContext,
): Deno.lint.LintVisitor {
  const visit = (
    node:
      | Deno.lint.FunctionDeclaration
      | Deno.lint.FunctionExpression
      | Deno.lint.ArrowFunctionExpression,
  ) => {
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

const plugin: Deno.lint.Plugin = {
  name: "house",
  rules: {
    "long-file": {
      create: (context) => ({
        Program(node) {
          const lines = linesOf(context.sourceCode.text);
          if (!shipped(context.filename) || lines <= MOST_LINES) return;
          context.report({
            node,
            message: `${lines} lines in a file, over ${MOST_LINES}`,
          });
        },
      }),
    },
    "long-function": {
      create: (context) =>
        shipped(context.filename) ? longFunctions(context) : {},
    },
  },
};

export default plugin;
