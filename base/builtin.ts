/**
 * Node's built-in modules, each loaded at its first use.
 *
 * An `import` would load them at start, for 5 to 15 ms each on Deno, even if
 * they are not needed; and a module with such an import cannot be loaded on a
 * platform without Node's modules, such as `workerd`.
 *
 * @module
 */

/** The modules that are used. */
interface Builtins {
  "node:buffer": typeof import("node:buffer");
  "node:child_process": typeof import("node:child_process");
  "node:crypto": typeof import("node:crypto");
  "node:dns/promises": typeof import("node:dns/promises");
  "node:fs": typeof import("node:fs");
  "node:fs/promises": typeof import("node:fs/promises");
  "node:http": typeof import("node:http");
  "node:net": typeof import("node:net");
  "node:os": typeof import("node:os");
  "node:process": typeof import("node:process");
  "node:tls": typeof import("node:tls");
}

/** The part of the global that is used; not every platform has it. */
interface Process {
  // On Deno this loads `node:module` first.
  getBuiltinModule?<Name extends keyof Builtins>(
    name: Name,
  ): Builtins[Name] | undefined;
}

/**
 * Loads one of Node's modules.
 *
 * @throws {Error} If this platform does not have it.
 */
export function builtin<Name extends keyof Builtins>(
  name: Name,
): Builtins[Name] {
  const { process } = globalThis as unknown as { process?: Process };
  const module = name === "node:process"
    ? process as Builtins[Name] | undefined
    : process?.getBuiltinModule?.(name);
  if (module === undefined) {
    throw new Error(`Cannot load "${name}": this platform does not have it`);
  }
  return module;
}
