import { readFile, readdir } from "node:fs/promises";
import path from "node:path";

/** The folder of the workspace, absolute. */
export const ROOT: string = path.dirname(import.meta.dirname);

/** What we read of a `package.json`; the rest of it passes through unseen. */
export interface Manifest {
  readonly name: string;
  readonly private?: boolean;
  readonly packageManager?: string;
  readonly exports?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

/** A folder of `packages/`: what users install. */
export interface WorkspacePackage {
  /** The folder's name, which is the package's name without the scope. */
  readonly name: string;
  /** Absolute. */
  readonly folder: string;
  readonly manifest: Manifest;
}

/** The published packages, sorted by name. A folder without `package.json` (a new one, or one left behind) is no package. */
export async function workspacePackages(): Promise<WorkspacePackage[]> {
  const packages: WorkspacePackage[] = [];
  for (const name of (await readdir(path.join(ROOT, "packages"))).toSorted()) {
    const folder = path.join(ROOT, "packages", name);
    const manifest = await readManifest(folder).catch(() => undefined);
    if (manifest !== undefined) packages.push({ name, folder, manifest });
  }
  return packages;
}

/** @throws when `folder` has no readable `package.json`. */
export async function readManifest(folder: string): Promise<Manifest> {
  return JSON.parse(await readFile(path.join(folder, "package.json"), "utf8")) as Manifest;
}
