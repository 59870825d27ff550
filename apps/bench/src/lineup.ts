import type { Contender } from "./contender.ts";

/** Who takes part, with the version, and who does not, with the reason. */
export interface Lineup {
  readonly present: readonly { readonly contender: Contender; readonly version: string }[];
  readonly skipped: ReadonlyMap<string, string>;
}

/** Chooses the contenders that are installed, of those named in `only` if given. Throws on a name that nobody has. */
export async function chooseLineup(all: readonly Contender[], only: readonly string[] | undefined): Promise<Lineup> {
  const unknown = only?.find((name) => !all.some((contender) => contender.name === name));
  if (unknown !== undefined)
    throw new Error(`nobody is called "${unknown}"; there are ${all.map(({ name }) => name).join(", ")}`);

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
