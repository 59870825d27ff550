import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { chunksOf, type Request } from "./workload.ts";

/** A request as wrk is told of it: a path, and arguments before the URL. */
export interface WrkRequest {
  readonly path: string;
  readonly wrkArgs: readonly string[];
}

/** Prepares wrk to send `request`. One with a body needs a script, which goes into `folder`. */
export async function prepareWrkRequest(request: Request, folder: string): Promise<WrkRequest> {
  const { path, fields, chunkedBody } = request;
  if (chunkedBody === undefined)
    return { path, wrkArgs: fields.flatMap(([name, value]) => ["-H", `${name}: ${value}`]) };

  const file = join(folder, path.replaceAll("/", "_"));
  await writeFile(`${file}.http`, rawRequest(request, chunkedBody));
  await writeFile(`${file}.lua`, sendFile(`${file}.http`));
  return { path, wrkArgs: ["-s", `${file}.lua`] };
}

/** A request as it goes over the wire. */
export function rawRequest({ method, path, fields }: Request, chunkedBody: Buffer): Buffer {
  const head = [`${method} ${path} HTTP/1.1`, ...fields.map((field) => field.join(": ")), "Transfer-Encoding: chunked"];
  const parts: Buffer[] = [Buffer.from(`${head.join("\r\n")}\r\n\r\n`, "latin1")];
  for (const chunk of chunksOf(chunkedBody))
    parts.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from("\r\n"));
  return Buffer.concat([...parts, Buffer.from("0\r\n\r\n")]);
}

/**
 * wrk asks `wrk.format` once and sends its answer again and again; a function `request` it would ask, and copy its answer,
 * for each request.
 */
function sendFile(file: string): string {
  return `
function wrk.format()
  local file = assert(io.open([[${file}]], "rb"))
  local raw = file:read("*a")
  file:close()
  return raw
end
`;
}
