import { pino } from "pino";
import { humanLog } from "./human-log.ts";

type Sink = ReturnType<typeof pino.destination>;

/** What can be opened again when its file was moved away. */
interface Reopenable {
  reopen(): void;
}

const reopenables = new Set<Reopenable>();

/** From the next line on, log files are those that have their names now; for SIGUSR1, after a rotation. */
export function reopenLogFiles(): void {
  for (const each of reopenables) each.reopen();
}

export function onReopen(each: Reopenable): () => void {
  reopenables.add(each);
  return () => void reopenables.delete(each);
}

/**
 * Where lines go that nobody has sent elsewhere: standard error, readable on a terminal; or the file of a daemon. Written at once, so that a crash loses
 * no line.
 */
class StandardLog {
  #sink: Sink | undefined = undefined;
  #toText: ((line: string) => string) | undefined = undefined;

  write(line: string): void {
    if (this.#sink === undefined) {
      this.#sink = open(2);
      // Programs read everything else.
      if (process.stderr.isTTY) this.#toText = humanLog({ colors: process.env["NO_COLOR"] === undefined });
    }
    this.#sink.write(this.#toText === undefined ? line : this.#toText(line));
  }

  /** @throws Error when the file cannot be opened. */
  toFile(path: string): void {
    const sink = open(path);
    this.#sink = sink;
    this.#toText = undefined;
    onReopen(sink);
  }
}

/** The one of this process. */
export const standardLog: StandardLog = new StandardLog();

function open(dest: string | number): Sink {
  const sink = pino.destination({ dest, sync: true, append: true });
  // A terminal that was closed, a disk that is full, a file that may not be opened again: nobody is left to tell.
  sink.on("error", () => undefined);
  return sink;
}
