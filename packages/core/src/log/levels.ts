/** From everything to nothing; pino's names. */
export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";

const LEVELS: ReadonlySet<string> = new Set(["trace", "debug", "info", "warn", "error", "fatal", "silent"]);

/** The level of all packages, and of those that have their own. */
export interface LogLevels {
  default: LogLevel;
  byPackage: ReadonlyMap<string, LogLevel>;
}

/**
 * Reads `info,proxy=trace,cache=debug`: a level for all, then levels for single packages; both optional, default `info`.
 * @throws RangeError naming the part that is not understood.
 */
export function parseLogLevels(text: string): LogLevels {
  let fallback: LogLevel = "info";
  const byPackage = new Map<string, LogLevel>();
  for (const part of text.split(",")) {
    if (part.trim() === "") continue;
    const [left = "", right, ...more] = part.split("=").map((side) => side.trim());
    const level = right ?? left;
    if (!isLevel(level) || left === "" || more.length > 0) {
      throw new RangeError(
        `SLUICE_LOG: cannot read ${JSON.stringify(part)}; expected LEVEL or PACKAGE=LEVEL with one of ${[...LEVELS].join(", ")}`,
      );
    }
    if (right === undefined) fallback = level;
    else byPackage.set(left, level);
  }
  return { default: fallback, byPackage };
}

function isLevel(text: string): text is LogLevel {
  return LEVELS.has(text);
}
