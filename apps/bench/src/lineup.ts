import type { Contender } from "./contender.ts";

/** Who takes part, with the version, and who does not, with the reason. */
export interface Lineup {
  readonly present: readonly { readonly contender: Contender; readonly version: string }[];
  readonly skipped: ReadonlyMap<string, string>;
}

/** Throws with a sentence for the user on a name in `only` that nobody has in any of the lists. */
export function checkNames(lists: readonly (readonly Contender[])[], only: readonly string[] | undefined): void {
  const names = new Set(lists.flat().map(({ name }) => name));
  const unknown = only?.find((name) => !names.has(name));
  if (unknown !== undefined)
    throw new Error(`nobody is called "${unknown}"; with these protocols there are ${[...names].join(", ")}`);
}

/** Chooses the contenders that are installed, of those named in `only` if given. */
export async function chooseLineup(all: readonly Contender[], only: readonly string[] | undefined): Promise<Lineup> {
  const present: { contender: Contender; version: string }[] = [];
  const skipped = new Map<string, string>();
  for (const contender of all) {
    if (only?.includes(contender.name) === false) continue;
    const availability = await contender.available();
    if (availability.kind === "available") present.push({ contender, version: availability.version });
    else skipped.set(contender.name, availability.reason);
  }
  return { present, skipped };
}
