// Reads Kubernetes manifests on standard input and holds each against the schema
// of its kind. Runs on Node, which finds what npm has installed; the arguments
// are the folders of `yaml` and of `kubernetes-models`.

import { readFileSync } from "node:fs";
import process from "node:process";
import { pathToFileURL } from "node:url";

const [yamlFolder, modelsFolder] = process.argv.slice(2);
const load = (path) => import(pathToFileURL(path).href);

/** An object that notes which of its fields nothing has looked at. */
function watched(object, unread) {
  const fields = new Set(Object.keys(object));
  unread.push(fields);
  const seen = new Map();
  return new Proxy(object, {
    get(target, key) {
      fields.delete(key);
      const value = Reflect.get(target, key);
      if (typeof value !== "object" || value === null) return value;
      if (!seen.has(key)) seen.set(key, watched(value, unread));
      return seen.get(key);
    },
    ownKeys(target) {
      // Labels and the like, whose names are up to the user, are gone through.
      fields.clear();
      return Reflect.ownKeys(target);
    },
  });
}

async function faultOf({ apiVersion, kind, ...fields }) {
  const { [kind]: Model } = await load(
    `${modelsFolder}/${apiVersion}/${kind}.js`,
  );
  const unread = [];
  const model = new Model();
  for (const [name, value] of Object.entries(fields)) {
    model[name] = watched(value, unread);
  }
  try {
    model.validate();
  } catch (error) {
    return `${kind}: ${error.message}`;
  }
  // The schemas let fields pass that they do not know. But a validator looks at
  // all fields that it knows, and so at none with a wrong name.
  const unknown = unread.flatMap((fields) => [...fields]);
  return unknown.length === 0
    ? null
    : `${kind}: unknown: ${unknown.join(", ")}`;
}

const { default: yaml } = await load(`${yamlFolder}/dist/index.js`);
const found = [];
for (const document of yaml.parseAllDocuments(readFileSync(0, "utf8"))) {
  if (document.errors.length > 0) throw document.errors[0];
  const manifest = document.toJS();
  found.push({ manifest, fault: await faultOf(manifest) });
}
console.log(JSON.stringify(found));
