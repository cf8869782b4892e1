/**
 * The documents of the project and their code blocks, links and headings.
 *
 * @module
 */

import { ROOT } from "./tools.ts";

/** A document, as it was read. */
export interface Document {
  /** Its path from the root. */
  readonly path: string;
  readonly text: string;
}

/** A fenced block of a document. */
export interface Block {
  readonly path: string;
  /** The nearest heading above it, as text. */
  readonly heading: string;
  /** The info string of the fence: `ts`, `sh`, `sh ignore`. */
  readonly info: string;
  readonly text: string;
}

/** Where documents are: each file that ends in `.md` in one of these folders. */
const FOLDERS = ["", "docs/", "bench/"];

/** Reads all documents, sorted by their paths. */
export function documents(): Document[] {
  const paths = FOLDERS.flatMap((folder) =>
    [...Deno.readDirSync(`${ROOT}/${folder}`)]
      .filter(({ name, isFile }) => isFile && name.endsWith(".md"))
      .map(({ name }) => folder + name)
  );
  return paths.sort().map((path) => ({
    path,
    text: Deno.readTextFileSync(`${ROOT}/${path}`),
  }));
}

/** Splits a document into its fenced blocks and the rest, line by line. */
export function parts(
  { path, text }: Document,
): { blocks: Block[]; prose: string; headings: string[] } {
  const blocks: Block[] = [];
  const prose: string[] = [];
  const headings: string[] = [];
  let open: { info: string; lines: string[] } | undefined;
  for (const line of text.split("\n")) {
    const fence = /^```(.*)$/.exec(line);
    if (open === undefined && fence !== null) {
      open = { info: fence[1]!.trim(), lines: [] };
    } else if (open !== undefined && fence !== null) {
      blocks.push({
        path,
        heading: headings.at(-1) ?? "",
        info: open.info,
        text: open.lines.join("\n") + "\n",
      });
      open = undefined;
    } else if (open !== undefined) {
      open.lines.push(line);
    } else {
      const heading = /^#{1,6} (.+)$/.exec(line);
      if (heading !== null) headings.push(heading[1]!);
      prose.push(line);
    }
  }
  return { blocks, prose: prose.join("\n"), headings };
}

/** The anchors of headings, as GitHub makes them. */
export function anchors(headings: readonly string[]): Set<string> {
  const seen = new Map<string, number>();
  return new Set(headings.map((heading) => {
    const slug = heading
      // Of a link its text counts.
      .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M}_ -]/gu, "")
      .replaceAll(" ", "-");
    const count = seen.get(slug) ?? 0;
    seen.set(slug, count + 1);
    return count === 0 ? slug : `${slug}-${count}`;
  }));
}

/** The targets of links and pictures in a text, without those to the web. */
export function relativeLinks(prose: string): string[] {
  const links = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, to]) => to!);
  return links.filter((to) => !/^[a-z][a-z\d+.-]*:/i.test(to));
}

/** The links of these documents that lead nowhere, each with the reason. */
export function deadLinks(
  all: readonly Document[],
  exists: (path: string) => boolean,
): string[] {
  const found = new Map(all.map((document) => [document.path, document]));
  return all.flatMap((document) =>
    relativeLinks(parts(document).prose).flatMap((link) => {
      const [file = "", anchor] = link.split("#");
      const path = file === "" ? document.path : resolved(document.path, file);
      if (!exists(path)) return [`${document.path}: ${link} is not there`];
      if (anchor === undefined) return [];
      const target = found.get(path);
      return target !== undefined &&
          anchors(parts(target).headings).has(anchor)
        ? []
        : [`${document.path}: ${link} has no such heading`];
    })
  );
}

/** A link of a document as a path from the root. */
function resolved(from: string, to: string): string {
  const { pathname } = new URL(to, `file:///${from}`);
  return decodeURIComponent(pathname.slice(1)).replace(/\/$/, "");
}
