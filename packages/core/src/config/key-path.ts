/** Where in a document something is: keys of mappings, indexes of lists. */
export type KeyPath = readonly PropertyKey[];

const PLAIN_KEY = /^[A-Za-z_][A-Za-z0-9_-]*$/;
const SECRET_KEY = /secret|password|token|key$/i;

/** `upstreams.api.servers[1].weight`; a key that is no plain word is quoted: `upstreams["a.b"]`. */
export function keyPathText(path: KeyPath): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else if (PLAIN_KEY.test(String(step))) text += text === "" ? String(step) : `.${String(step)}`;
    else text += `[${JSON.stringify(String(step))}]`;
  }
  return text;
}

/** Whether what stands at `path` must not be printed, because a key on the way names something secret. */
export function isSecret(path: KeyPath): boolean {
  return path.some((step) => typeof step === "string" && SECRET_KEY.test(step));
}

/** What stands at `path` below `root`; `undefined` if nothing does. */
export function valueAt(root: unknown, path: KeyPath): unknown {
  let value = root;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[step];
  }
  return value;
}
