import { checkOptionNames, LogFile, logger, shown, type LogDestination } from "@sluice/core";
import type { ProxyError } from "@sluice/error";
import type { Session } from "../session.ts";
import { accessEntry, type AccessEntry } from "./access-entry.ts";
import { combinedLine, commonLine, jsonLine } from "./formats.ts";

export type { AccessEntry } from "./access-entry.ts";

/**
 * How a line is made: by the Common Log Format, that with `Referer` and `User-Agent`, as JSON, or by a function, which gives a line
 * without its end, or `undefined` for no line.
 */
export type AccessLogFormat =
  | "common"
  | "combined"
  | "json"
  | ((entry: AccessEntry, session: Session, error: ProxyError | undefined) => string | undefined);

export interface AccessLogOptions {
  /** Default `combined`. */
  format?: AccessLogFormat;
  /** A path, for a {@link LogFile}, which no request waits for; or what takes lines. */
  to: string | LogDestination;
}

const FORMATS: Readonly<Record<string, (entry: AccessEntry) => string>> = {
  common: commonLine,
  combined: combinedLine,
  json: jsonLine,
};

/**
 * A line for each request. Write in the hook that every request comes to:
 * ```ts
 * logging(session, error) { access.write(session, error); }
 * ```
 */
export class AccessLog {
  readonly #destination: LogDestination;
  readonly #file: LogFile | undefined;
  readonly #format: Exclude<AccessLogFormat, string>;

  /** @throws TypeError for options that cannot be, Error for a file that cannot be opened. */
  constructor(options: AccessLogOptions) {
    checkOptionNames("AccessLog", options, ["format", "to"]);
    const { format = "combined", to } = options;
    const known = typeof format === "function" ? format : Object.hasOwn(FORMATS, format) && FORMATS[format];
    if (!known) {
      throw new TypeError(`AccessLog: format: expected common, combined, json or a function, got ${shown(format)}`);
    }
    this.#format = known;
    this.#file = typeof to === "string" ? new LogFile(to) : undefined;
    this.#destination = this.#file ?? (to as LogDestination);
    if (typeof this.#destination?.write !== "function") {
      throw new TypeError(`AccessLog: to: expected a path, or an object with write(), got ${shown(to)}`);
    }
  }

  /** To be called in `logging`. A format that throws is logged. */
  write(session: Session, error: ProxyError | undefined): void {
    try {
      const line = this.#format(accessEntry(session, error), session, error);
      if (line !== undefined) this.#destination.write(`${line}\n`);
    } catch (err) {
      logger("proxy").error({ err }, "a line of the access log could not be made");
    }
  }

  /** Writes what waits. Lines that come later are an error of the caller. */
  close(): void {
    this.#file?.close();
  }
}
