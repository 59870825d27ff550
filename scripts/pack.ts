import { pnpm } from "./pnpm.ts";
import { expectSuccess } from "./run-command.ts";

/** A package as users would download it. */
export interface PackedPackage {
  /** With the scope. */
  readonly name: string;
  readonly version: string;
  /** The tarball, absolute. */
  readonly filename: string;
  /** Bytes of the tarball. */
  readonly size: number;
  /** What it holds, relative to the package. */
  readonly files: readonly { readonly path: string }[];
}

/**
 * Packs every folder of `packages/` into `destination`, as they are: build them first.
 * pnpm replaces `workspace:` and `catalog:` by versions, applies `publishConfig`, and adds the LICENSE of the workspace to
 * a package that has none of its own.
 */
export async function packAll(destination: string): Promise<PackedPackage[]> {
  const command = await pnpm("-r", "--filter", "./packages/*", "pack", "--json", "--pack-destination", destination);
  const output = await expectSuccess(command);
  // Warnings may surround the JSON, which starts and ends a line of its own.
  const json = /^\[$[\s\S]*^\]$/m.exec(output)?.[0];
  if (json === undefined) throw new Error(`pnpm pack printed no list of packages:\n${output}`);
  return JSON.parse(json) as PackedPackage[];
}
