import { pino } from "pino";

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
 * Where lines go that nobody has sent elsewhere: standard error, or the file of a daemon. Written at once, so that a crash loses
 * no line.
 */
class StandardLog {
  #sink: Sink | undefined = undefined;

  write(line: string): void {
    this.#sink ??= open(2);
    this.#sink.write(line);
  }

  /** @throws Error when the file cannot be opened. */
  toFile(path: string): void {
    const sink = open(path);
    this.#sink = sink;
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
