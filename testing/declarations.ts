/**
 * Writes one `.d.ts` for the bundle: the declarations that `mod.ts` exports,
 * and those that they refer to, from all modules.
 *
 * TypeScript emits the declarations of each module from its text alone, as
 * every export has an explicit type (`isolatedDeclarations`). This module
 * removes the imports and renames declarations that have the same name in two
 * modules.
 *
 * `deno bundle --declaration` writes a file that does not parse (2.9.6): it
 * takes examples in comments for code, and keeps imports.
 *
 * @module
 */

import { createRequire } from "node:module";
import { npmTool, ROOT } from "./tools.ts";

/** The compiler; a tool of the build, and nothing that ships. */
export const TYPESCRIPT = "5.9.3";

// deno-lint-ignore no-explicit-any -- the compiler's types are not at hand
type Any = any;

/** A declaration by its module and its name there. */
interface Declared {
  module: string;
  name: string;
}

/** A module's declarations. */
interface Module {
  source: Any;
  /** Statements by the names that they declare. */
  own: Map<string, Any[]>;
  /** Local names of declarations in other modules. */
  imported: Map<string, Declared>;
  /** Exports of names that are declared in other modules. */
  passedOn: Map<string, Declared>;
}

/** The text of the `.d.ts` of a module and all that it mentions. */
export async function declarations(entry: string): Promise<string> {
  const { modules } = await npmTool("typescript", TYPESCRIPT);
  const ts = createRequire(import.meta.url)(`${modules}/typescript`);
  return new Roll(ts).of(entry);
}

class Roll {
  readonly #ts: Any;
  readonly #modules = new Map<string, Module>();
  /** Names in the one file, by module and name. */
  readonly #names = new Map<string, string>();
  readonly #taken = new Set<string>();
  /** What the entry exports as a type, though it may be declared as a class. */
  readonly #typesOnly = new Set<string>();

  constructor(ts: Any) {
    this.#ts = ts;
  }

  of(entry: string): string {
    const { source, passedOn } = this.#module(entry);
    for (const { isTypeOnly, exportClause } of source.statements) {
      for (const one of exportClause?.elements ?? []) {
        if (isTypeOnly || one.isTypeOnly) this.#typesOnly.add(one.name.text);
      }
    }
    const wanted: Declared[] = [];
    const exported: string[] = [];
    for (const [name, from] of passedOn) {
      const declared = this.#origin(from);
      const local = this.#nameOf(declared);
      wanted.push(declared);
      const kind = this.#typesOnly.has(name) ? "type " : "";
      exported.push(kind + (local === name ? name : `${local} as ${name}`));
    }
    const texts: string[] = [];
    const seen = new Set<string>();
    // Grows during the loop: declarations that are referred to are needed too.
    for (const one of wanted) {
      const key = `${one.module} ${one.name}`;
      if (seen.has(key)) continue;
      seen.add(key);
      texts.push(...this.#texts(one, wanted));
    }
    const head = /^\s*\/\*\*[\s\S]*?\*\//.exec(source.text)?.[0] ?? "";
    return [head, ...texts, `export {\n  ${exported.join(",\n  ")},\n};`]
      .join("\n\n") + "\n";
  }

  #module(path: string): Module {
    let module = this.#modules.get(path);
    if (module === undefined) {
      module = this.#read(path);
      this.#modules.set(path, module);
    }
    return module;
  }

  #read(path: string): Module {
    const ts = this.#ts;
    const { outputText, diagnostics } = ts.transpileDeclaration(
      Deno.readTextFileSync(`${ROOT}/${path}`),
      { fileName: path, compilerOptions: { target: ts.ScriptTarget.ESNext } },
    );
    if (diagnostics.length > 0) {
      throw new Error(`${path}: ${JSON.stringify(diagnostics[0].messageText)}`);
    }
    const latest = ts.ScriptTarget.ESNext;
    const source = ts.createSourceFile(path, outputText, latest, true);
    const module: Module = {
      source,
      own: new Map(),
      imported: new Map(),
      passedOn: new Map(),
    };
    for (const statement of source.statements) this.#note(module, statement);
    return module;
  }

  #note({ source, own, imported, passedOn }: Module, statement: Any): void {
    const ts = this.#ts;
    const from = (): string => {
      const { text } = statement.moduleSpecifier;
      if (!text.startsWith(".")) {
        throw new Error(`${source.fileName}: a type of "${text}" is exported`);
      }
      return new URL(text, `file:///${source.fileName}`).pathname.slice(1);
    };
    if (ts.isImportDeclaration(statement)) {
      const { name, namedBindings } = statement.importClause ?? {};
      if (name !== undefined) {
        throw new Error(`${source.fileName}: a default import in a type`);
      }
      for (const { name, propertyName } of namedBindings?.elements ?? []) {
        const there = (propertyName ?? name).text;
        imported.set(name.text, { module: from(), name: there });
      }
    } else if (ts.isExportDeclaration(statement)) {
      for (
        const { name, propertyName } of statement.exportClause?.elements ?? []
      ) {
        const there = (propertyName ?? name).text;
        const declared = statement.moduleSpecifier === undefined
          ? imported.get(there) ?? { module: source.fileName, name: there }
          : { module: from(), name: there };
        passedOn.set(name.text, declared);
      }
    } else {
      const names = ts.isVariableStatement(statement)
        ? statement.declarationList.declarations.map((d: Any) => d.name.text)
        : statement.name === undefined
        ? []
        : [statement.name.text];
      for (const name of names) {
        own.set(name, [...own.get(name) ?? [], statement]);
      }
    }
  }

  /** Where something is declared that a module may only pass on. */
  #origin(declared: Declared): Declared {
    const { own, passedOn } = this.#module(declared.module);
    if (own.has(declared.name)) return declared;
    const next = passedOn.get(declared.name);
    if (next !== undefined) return this.#origin(next);
    throw new Error(`${declared.module} declares no ${declared.name}`);
  }

  /** The name of a declaration in the one file. */
  #nameOf({ module, name }: Declared): string {
    const key = `${module} ${name}`;
    let given = this.#names.get(key);
    if (given === undefined) {
      given = name;
      for (let i = 2; this.#taken.has(given); i++) given = `${name}${i}`;
      this.#taken.add(given);
      this.#names.set(key, given);
    }
    return given;
  }

  /** The text of a declaration in the one file; records what it refers to. */
  #texts({ module, name }: Declared, wanted: Declared[]): string[] {
    const { source, own, imported } = this.#module(module);
    return own.get(name)!.map((statement) => {
      const edits: { at: number; end: number; text: string }[] = [];
      const visit = (node: Any) => {
        if (this.#ts.isIdentifier(node) && this.#isReference(node)) {
          const here = own.has(node.text)
            ? { module, name: node.text }
            : imported.get(node.text);
          if (here !== undefined) {
            const declared = this.#origin(here);
            wanted.push(declared);
            const text = this.#nameOf(declared);
            edits.push({ at: node.getStart(source), end: node.end, text });
          }
        }
        this.#ts.forEachChild(node, visit);
      };
      visit(statement);
      const start = statement.getFullStart();
      let text = source.text.slice(start, statement.end);
      for (const { at, end, text: name } of edits.toReversed()) {
        text = text.slice(0, at - start) + name + text.slice(end - start);
      }
      return text.replace(/^\s*\/\*\*(?:(?!\*\/)[\s\S])*@module\s*\*\//, "")
        .trim()
        .replace(/^((?:\/\*\*[\s\S]*?\*\/\s*)?)export /, "$1");
    });
  }

  /** Whether a name refers to a declaration, and is not a member's name. */
  #isReference(node: Any): boolean {
    const { parent } = node;
    const ts = this.#ts;
    if (ts.isQualifiedName(parent)) return parent.left === node;
    const isMember = ts.isPropertySignature(parent) ||
      ts.isPropertyDeclaration(parent) || ts.isMethodSignature(parent) ||
      ts.isMethodDeclaration(parent) || ts.isParameter(parent) ||
      ts.isGetAccessor(parent) || ts.isSetAccessor(parent) ||
      ts.isTypeParameterDeclaration(parent) ||
      ts.isNamedTupleMember(parent) || ts.isPropertyAssignment(parent);
    return !isMember || parent.name !== node;
  }
}
