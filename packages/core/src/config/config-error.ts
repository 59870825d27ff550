/** One thing that is wrong with a configuration, with the place to look. */
export interface ConfigProblem {
  /** The file as it was named to the program. */
  readonly file: string;
  /** 1-based; 0 when the file as a whole is meant, as when it cannot be read. */
  readonly line: number;
  /** 1-based; 0 with line 0. */
  readonly column: number;
  /** The path of the key, such as `upstreams.api.servers[1].weight`; empty when no key can be named. */
  readonly key: string;
  /** What was found and what was expected. Never more of the text than the value concerned, and no secret. */
  readonly message: string;
}

/** A configuration that cannot be used. `message` has one line a problem: `gateway.yaml:12:5: key: what is wrong`. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  /** All that was found, in the order of the file. At least one. */
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    // A number that is too large for two reasons is one problem.
    const byLine = new Map(problems.map((problem) => [toLine(problem), problem]));
    super([...byLine.keys()].join("\n"));
    this.problems = [...byLine.values()];
  }
}

function toLine(problem: ConfigProblem): string {
  const place = problem.line > 0 ? `${problem.file}:${problem.line}:${problem.column}` : problem.file;
  return problem.key === "" ? `${place}: ${problem.message}` : `${place}: ${problem.key}: ${problem.message}`;
}
