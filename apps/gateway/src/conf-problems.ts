import { ProxyError } from "@sluice/error";
import type { z } from "zod";
import { reasonOf } from "./error-reason.ts";

/** A value of the file that cannot be used, by what was found outside of it. */
export interface ConfProblem {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/**
 * What `use` throws, as a problem of the key at `path`, or of one below it that the error names.
 * @throws what is no ProxyError.
 */
export async function problemsOf(path: readonly PropertyKey[], use: () => unknown): Promise<ConfProblem[]> {
  try {
    await use();
    return [];
  } catch (error) {
    return [toProblem(path, error)];
  }
}

/** As {@link problemsOf}, for what throws at once. */
export function problemsOfSync(path: readonly PropertyKey[], use: () => unknown): ConfProblem[] {
  try {
    use();
    return [];
  } catch (error) {
    return [toProblem(path, error)];
  }
}

function toProblem(path: readonly PropertyKey[], error: unknown): ConfProblem {
  if (!(error instanceof ProxyError)) throw error;
  const reason = reasonOf(error);
  const key = path.join(".");
  // `upstreams.api.tls.ca: cannot read …` beside `upstreams.api.tls`.
  const [, below, message] = (reason.startsWith(key) && /^((?:\.\w+)*): (.*)$/s.exec(reason.slice(key.length))) || [];
  if (below === undefined || message === undefined) return { path, message: reason };
  return { path: [...path, ...below.split(".").slice(1)], message };
}

export function report(problems: readonly ConfProblem[], context: z.RefinementCtx): void {
  for (const { path, message } of problems) context.addIssue({ code: "custom", path: [...path], message });
}
