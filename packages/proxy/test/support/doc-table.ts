import { readFile } from "node:fs/promises";

const DOCS = new URL("../../../../docs/", import.meta.url);

/** The rows, without the head, of the table in a document of ours whose first column is headed so: the text of each cell. */
export async function docTable(document: string, firstColumn: string): Promise<string[][]> {
  const lines = (await readFile(new URL(document, DOCS), "utf8")).split("\n");
  const head = lines.findIndex((line) => line.startsWith("|") && cellsOf(line)[0] === firstColumn);
  if (head < 0) throw new Error(`${document} has no table whose first column is ${JSON.stringify(firstColumn)}`);
  const end = lines.findIndex((line, at) => at > head && !line.startsWith("|"));
  return lines.slice(head + 2, end < 0 ? undefined : end).map(cellsOf);
}

function cellsOf(line: string): string[] {
  return line
    .split("|")
    .slice(1, -1)
    .map((cell) => cell.trim());
}
