/** A whole statement that starts its line, as the formatter puts it; so an import in a docstring's example is not one. */
const STATEMENT = /^(?:import|export)\s(?:[^;"']*?\sfrom\s)?\s*["']([^"']+)["']/gm;

/** `import("…")`, as an expression or in a type. */
const CALL = /\bimport\(\s*["']([^"']+)["']/g;

const COMMENT_LINE = /^\s*(?:\*|\/\/|\/\*).*$/gm;

/** Every module that `source` imports or re-exports from, types included; statements first. */
export function importsOf(source: string): string[] {
  const code = source.replaceAll(COMMENT_LINE, "");
  return [STATEMENT, CALL].flatMap((pattern) => Array.from(code.matchAll(pattern), (match) => match[1] ?? ""));
}
