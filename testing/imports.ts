/**
 * Which published module imports which, and whether it may.
 *
 * @module
 */

import { isShipped } from "./shipped.ts";
import { ROOT } from "./tools.ts";

/** One import of a module by another, as paths from the root. */
export interface Import {
  readonly from: string;
  readonly to: string;
  /** Whether it is erased when the program runs (`import type`). */
  readonly typeOnly: boolean;
  /** Whether it is loaded later, when it is needed. */
  readonly late: boolean;
}

/**
 * The imports in a module's text. Comments are removed: their examples have
 * imports too.
 */
export function importsIn(
  text: string,
): { specifier: string; typeOnly: boolean; late: boolean }[] {
  const code = text.replace(/^\s*\/?\*.*$/gm, "").replace(/^\s*\/\/.*$/gm, "");
  const found = [];
  const fixed = /^(?:import|export)\b([^;"]*?)\bfrom\s+"([^"]+)"/gm;
  for (const [, names = "", specifier = ""] of code.matchAll(fixed)) {
    const list = /\{([^}]*)\}/.exec(names)?.[1];
    const typeOnly = /^\s*type\b/.test(names) || list !== undefined &&
        list.split(",").map((name) => name.trim()).filter(Boolean)
          .every((name) => name.startsWith("type "));
    found.push({ specifier, typeOnly, late: false });
  }
  for (const [, specifier = ""] of code.matchAll(/^import\s+"([^"]+)"/gm)) {
    found.push({ specifier, typeOnly: false, late: false });
  }
  for (const [, specifier = ""] of code.matchAll(/\bimport\("([^"]+)"\)/g)) {
    found.push({ specifier, typeOnly: false, late: true });
  }
  return found;
}

/** Every import among the published modules. */
export async function allImports(): Promise<Import[]> {
  const imports: Import[] = [];
  for (const from of shippedFiles("")) {
    const text = await Deno.readTextFile(`${ROOT}/${from}`);
    for (const { specifier, ...kind } of importsIn(text)) {
      if (specifier.startsWith("node:")) continue;
      const { pathname } = new URL(specifier, `file:///${from}`);
      imports.push({ from, to: pathname.slice(1), ...kind });
    }
  }
  return imports;
}

/** The published modules below a folder, as paths from the root. */
export function shippedFiles(folder: string): string[] {
  return [...Deno.readDirSync(`${ROOT}/${folder}`)].flatMap(
    ({ name, isDirectory }) => {
      const path = `${folder}${name}`;
      if (isDirectory) {
        return name.startsWith(".") ? [] : shippedFiles(`${path}/`);
      }
      return isShipped(path) ? [path] : [];
    },
  ).sort();
}

/** The place that a module belongs to: its folder, or its name at the top. */
export function placeOf(path: string): string {
  return /^([^/]+)\//.exec(path)?.[1] ?? path.replace(/\.ts$/, "");
}

/** Modules that import each other in a circle, if there is one. */
export function circle(
  imports: readonly Pick<Import, "from" | "to">[],
): string[] | undefined {
  const next = Map.groupBy(imports, ({ from }) => from);
  const done = new Set<string>();
  const visit = (
    path: string,
    way: readonly string[],
  ): string[] | undefined => {
    const at = way.indexOf(path);
    if (at >= 0) return [...way.slice(at), path];
    if (done.has(path)) return undefined;
    for (const { to } of next.get(path) ?? []) {
      const found = visit(to, [...way, path]);
      if (found !== undefined) return found;
    }
    done.add(path);
    return undefined;
  };
  for (const path of next.keys()) {
    const found = visit(path, []);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** What is loaded together with a module, itself included. */
export function loadedWith(
  entry: string,
  imports: readonly Import[],
): Set<string> {
  const loaded = new Set([entry]);
  for (const path of loaded) {
    for (const { from, to, typeOnly, late } of imports) {
      if (from === path && !typeOnly && !late) loaded.add(to);
    }
  }
  return loaded;
}
