import { Session, type Profiler } from "node:inspector";

/** A character of the code. */
interface Place {
  url: string;
  at: number;
}

/** The characters of one function, from `start`: 1 for each that ran. */
interface FunctionRun {
  url: string;
  start: number;
  ran: Uint8Array;
}

/**
 * Which characters of the code under test have run, as V8 counts it: the feedback that tells a fuzzer what is new.
 * One reading takes a third of a millisecond, so it is taken for many inputs together.
 */
export class Coverage implements Disposable {
  readonly #session = new Session();
  readonly #isUnderTest: (url: string) => boolean;
  /** By script: 1 for each character that has run. */
  readonly #seen = new Map<string, Uint8Array>();
  /** Characters that have run so far. */
  characters = 0;

  constructor(isUnderTest: (url: string) => boolean) {
    this.#isUnderTest = isUnderTest;
    this.#session.connect();
    this.#session.post("Profiler.enable");
    this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  /** Adds what has run since the last call; returns where the stretches of it begin that had never run before. */
  add(): readonly Place[] {
    const fresh: Place[] = [];
    let end = -1;
    for (const { url, start, ran } of this.#functions()) {
      const seen = this.#seenOf(url, start + ran.length);
      for (let at = 0; at < ran.length; at++) {
        if (ran[at] === 0 || seen[start + at] === 1) continue;
        seen[start + at] = 1;
        this.characters++;
        const last = fresh.at(-1);
        if (last?.url !== url || end !== start + at) fresh.push({ url, at: start + at });
        end = start + at + 1;
      }
    }
    return fresh;
  }

  /** Whether any of `places` has run since the last call. */
  hasRun(places: readonly Place[]): boolean {
    const functions = this.#functions();
    return places.some(({ url, at }) =>
      functions.some((one) => one.url === url && at >= one.start && one.ran[at - one.start] === 1),
    );
  }

  /** How often the blocks of the code under test were entered since the last call: work, counted instead of timed. */
  takeWork(): number {
    let work = 0;
    for (const { functions } of this.#take()) {
      for (const { ranges } of functions) for (const { count } of ranges) work += count;
    }
    return work;
  }

  [Symbol.dispose](): void {
    this.#session.post("Profiler.stopPreciseCoverage");
    this.#session.disconnect();
  }

  #take(): Profiler.ScriptCoverage[] {
    let result: Profiler.ScriptCoverage[] = [];
    // Answered before `post` returns: the session is this thread's own.
    this.#session.post("Profiler.takePreciseCoverage", (error, answer) => {
      if (error) throw error;
      result = answer.result;
    });
    return result.filter(({ url }) => this.#isUnderTest(url));
  }

  #functions(): FunctionRun[] {
    const all: FunctionRun[] = [];
    for (const { url, functions } of this.#take()) {
      for (const { ranges } of functions) {
        // Ranges are nested, the outer ones first; the innermost says what holds.
        const { startOffset: start, endOffset: end } = ranges[0]!;
        const ran = new Uint8Array(end - start);
        for (const range of ranges)
          ran.fill(range.count > 0 ? 1 : 0, range.startOffset - start, range.endOffset - start);
        all.push({ url, start, ran });
      }
    }
    return all;
  }

  #seenOf(url: string, length: number): Uint8Array {
    const seen = this.#seen.get(url);
    if (seen !== undefined && seen.length >= length) return seen;
    const larger = new Uint8Array(length + 1024);
    if (seen !== undefined) larger.set(seen);
    this.#seen.set(url, larger);
    return larger;
  }
}
