import { readFile } from "node:fs/promises";
import { logger, type Service } from "@sluice/core";

const INTERVAL_MS = 500;

/**
 * Reloads when the file has another text than before, and the same for two looks in a row: who writes it may not be done. Looks at the text,
 * so that replacing the file, or a link to it, counts as writing to it does, on file systems of any kind.
 */
export class WatchedConf implements Service {
  readonly name = "configuration file";
  readonly oncePerServer = true;
  readonly #path: string;
  readonly #reload: () => Promise<void>;
  /** As of the last reload, whether it was refused or not. */
  #known: string | undefined = undefined;
  #before: string | undefined = undefined;
  #timer: NodeJS.Timeout | undefined = undefined;
  #stopped = false;

  /** @param reload May reject: that is told elsewhere. */
  constructor(path: string, reload: () => Promise<void>) {
    this.#path = path;
    this.#reload = reload;
  }

  async start(): Promise<void> {
    this.#known = await this.#read();
    this.#before = this.#known;
    this.#schedule();
  }

  stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    return Promise.resolve();
  }

  #schedule(): void {
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#look(), INTERVAL_MS).unref();
  }

  async #look(): Promise<void> {
    const text = await this.#read();
    // A file that is being replaced may be missing for a moment.
    if (text !== undefined && text === this.#before && text !== this.#known && !this.#stopped) {
      this.#known = text;
      logger("gateway").info({ file: this.#path }, "the configuration file has changed");
      await this.#reload().catch(() => undefined);
    }
    this.#before = text;
    this.#schedule();
  }

  #read(): Promise<string | undefined> {
    return readFile(this.#path, "utf8").catch(() => undefined);
  }
}
