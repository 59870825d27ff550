import { ExpiryTimer } from "./expiry-timer.ts";
import type { CloseReason, IdleState, PoolableConnection } from "./poolable-connection.ts";
import { UnexpectedDataCounter, type UnexpectedDataCounts, type UnexpectedDataPhase } from "./unexpected-data.ts";

/** The default of {@link ConnectionPoolOptions.maxIdle}; that of Pingora. */
export const DEFAULT_MAX_IDLE = 128;

/** Retired keys that are remembered; beyond it the one retired longest ago is forgotten, and connections age out as usual. */
const MAX_RETIRED = 10_000;

export interface ConnectionPoolOptions {
  /**
   * How many idle connections the pool keeps, all keys together; 0 pools nothing. An integer, default 128.
   * When one more is stored, the one stored longest ago is closed. Several processes have as many each.
   */
  maxIdle?: number;
  /** The clock, in milliseconds. Default: `performance.now`. */
  now?: () => number;
}

/**
 * Idle connections by key, to be used again. All connections under one key count as interchangeable, so the key names
 * everything that sets one peer apart from another: address, scheme, server name, client certificate, and so on.
 *
 * The pool opens nothing and limits nothing that is in use. `get` and `put` take constant time, whatever the pool holds.
 * The connection stored last is handed out first, so that surplus ones age out (Pingora: the one stored first, among 16).
 */
export class ConnectionPool<C extends PoolableConnection> {
  readonly #maxIdle: number;
  readonly #now: () => number;
  /** By key, the entry stored last; the others hang below it. A key without connections is absent. */
  readonly #tops = new Map<string, Entry<C>>();
  /** One entry for each connection ever stored, also while it is in use; goes when the connection does. */
  readonly #entries = new WeakMap<C, Entry<C>>();
  /** All entries that are stored, linked by `newer` and `older`. */
  #oldest: Entry<C> | undefined;
  #newest: Entry<C> | undefined;
  #idleCount = 0;
  /** Keys that nothing is kept for, in the order in which they were retired. */
  readonly #retired = new Set<string>();
  readonly #timer: ExpiryTimer = new ExpiryTimer(() => this.#expire());
  readonly #unexpectedData = new UnexpectedDataCounter();
  #closed = false;

  /**
   * @throws RangeError when `maxIdle` is not an integer of 0 or more; TypeError when `now` is not a function, and for an option that is
   * not known.
   */
  constructor(options: ConnectionPoolOptions = {}) {
    checkOptions(options);
    const maxIdle = options.maxIdle ?? DEFAULT_MAX_IDLE;
    if (!Number.isSafeInteger(maxIdle) || maxIdle < 0) {
      throw new RangeError(
        `ConnectionPool: maxIdle: expected an integer of 0 (pool nothing) or more, got ${String(maxIdle)}`,
      );
    }
    this.#maxIdle = maxIdle;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Idle connections of all keys. */
  get idleCount(): number {
    return this.#idleCount;
  }

  /** Keys that have an idle connection. */
  get keyCount(): number {
    return this.#tops.size;
  }

  /** Idle connections of one key; counts them one by one, for tests and diagnosis. */
  idleCountOf(key: string): number {
    let count = 0;
    for (let entry = this.#tops.get(key); entry !== undefined; entry = entry.below) count += 1;
    return count;
  }

  /** Connections dropped because their peer spoke out of turn. A live object: the same for the pool's whole life. */
  get unexpectedData(): UnexpectedDataCounts {
    return this.#unexpectedData;
  }

  /**
   * Takes out the connection of `key` that was stored last and is still usable. Those found closed, chatty or waiting
   * for too long on the way are dropped. `undefined` if none is left: open a new one.
   */
  get(key: string): C | undefined {
    if (this.#retired.size > 0) this.#retired.delete(key);
    for (let entry = this.#tops.get(key); entry !== undefined; entry = this.#tops.get(key)) {
      const { connection } = entry;
      const expired = entry.expiresAt !== Infinity && entry.expiresAt <= this.#now();
      this.#takeOut(entry);
      if (expired) {
        connection.closeIdle("idle-timeout");
        continue;
      }
      const state = connection.idleState();
      if (state === "usable") return connection;
      this.#drop(connection, state, "pickup");
    }
    return undefined;
  }

  /**
   * Takes an idle connection over. `false` if it was not stored; `closeIdle` was then called.
   * @param idleMs How long it may wait, in milliseconds; 0 closes it at once, which switches pooling off for this peer.
   * Default: until the peer closes it or others push it out.
   * @throws TypeError when the pool holds this connection already: two users would share it.
   * @throws RangeError when `idleMs` is negative or not a number.
   */
  put(key: string, connection: C, idleMs: number = Infinity): boolean {
    if (!(idleMs >= 0)) throw new RangeError(`ConnectionPool.put: idleMs: expected 0 or more, got ${String(idleMs)}`);
    const known = this.#entries.get(connection);
    if (known?.stored) {
      throw new TypeError(
        `ConnectionPool.put: this connection is in the pool already (${known.key}); put it once per use`,
      );
    }
    const state = connection.idleState();
    if (state !== "usable") {
      this.#drop(connection, state, "release");
      return false;
    }
    if (this.#closed || this.#maxIdle === 0 || idleMs === 0) {
      connection.closeIdle(this.#closed ? "pool-closed" : "disabled");
      return false;
    }
    if (this.#retired.size > 0 && this.#retired.has(key)) {
      connection.closeIdle("retired");
      return false;
    }
    const expiresAt = idleMs === Infinity ? Infinity : this.#now() + idleMs;
    this.#store(known ?? this.#createEntry(connection), key, expiresAt);
    if (expiresAt !== Infinity) this.#timer.armBy(expiresAt);
    // Last, when the pool is whole again: closing may call back.
    if (this.#idleCount > this.#maxIdle) this.#giveUp(this.#oldest as Entry<C>, "evicted");
    return true;
  }

  /**
   * To be called by a connection that closed, or whose peer spoke, while it was idle: forgets it, without `closeIdle`.
   * @returns Whether the pool held it; if not, nothing is counted.
   */
  remove(connection: C, why: "closed" | "unexpected-data"): boolean {
    const entry = this.#entries.get(connection);
    if (!entry?.stored) return false;
    this.#takeOut(entry);
    if (why === "unexpected-data") this.#unexpectedData.idle += 1;
    return true;
  }

  /**
   * Closes the idle connections of `key`, and those that are in use when they come back: for a peer that is no longer wanted. The next
   * {@link get} of that key shows that it is wanted again, and ends this.
   */
  retire(key: string): void {
    this.#retired.delete(key);
    this.#retired.add(key);
    if (this.#retired.size > MAX_RETIRED) this.#retired.delete(this.#retired.values().next().value as string);
    for (let entry = this.#tops.get(key); entry !== undefined; entry = this.#tops.get(key)) {
      this.#giveUp(entry, "retired");
    }
  }

  /** Closes all idle connections, and from now on whatever is put. */
  close(): void {
    this.#closed = true;
    this.#timer.disarm();
    while (this.#oldest !== undefined) this.#giveUp(this.#oldest, "pool-closed");
  }

  #expire(): void {
    const now = this.#now();
    const due: Entry<C>[] = [];
    let next = Infinity;
    for (let entry = this.#oldest; entry !== undefined; entry = entry.newer) {
      if (entry.expiresAt <= now) due.push(entry);
      else next = Math.min(next, entry.expiresAt);
    }
    if (next !== Infinity) this.#timer.armBy(next);
    for (const entry of due) {
      // Closing one may have made others leave, or come back with a new time.
      if (entry.stored && entry.expiresAt <= now) this.#giveUp(entry, "idle-timeout");
    }
  }

  #giveUp(entry: Entry<C>, reason: CloseReason): void {
    this.#takeOut(entry);
    entry.connection.closeIdle(reason);
  }

  #drop(connection: C, state: Exclude<IdleState, "usable">, phase: UnexpectedDataPhase): void {
    if (state === "unexpected-data") this.#unexpectedData[phase] += 1;
    connection.closeIdle(state);
  }

  #createEntry(connection: C): Entry<C> {
    const entry: Entry<C> = {
      connection,
      stored: false,
      key: "",
      expiresAt: Infinity,
      above: undefined,
      below: undefined,
      newer: undefined,
      older: undefined,
    };
    this.#entries.set(connection, entry);
    return entry;
  }

  #store(entry: Entry<C>, key: string, expiresAt: number): void {
    entry.stored = true;
    entry.key = key;
    entry.expiresAt = expiresAt;

    const below = this.#tops.get(key);
    entry.below = below;
    if (below !== undefined) below.above = entry;
    this.#tops.set(key, entry);

    const older = this.#newest;
    entry.older = older;
    if (older === undefined) this.#oldest = entry;
    else older.newer = entry;
    this.#newest = entry;
    this.#idleCount += 1;
  }

  #takeOut(entry: Entry<C>): void {
    const { above, below, newer, older } = entry;
    if (below !== undefined) below.above = above;
    if (above !== undefined) above.below = below;
    else if (below !== undefined) this.#tops.set(entry.key, below);
    else this.#tops.delete(entry.key);

    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    this.#idleCount -= 1;

    entry.stored = false;
    entry.above = undefined;
    entry.below = undefined;
    entry.newer = undefined;
    entry.older = undefined;
  }
}

/** A connection's place in the pool: in the stack of its key, and in the order of all. */
interface Entry<C> {
  readonly connection: C;
  /** Whether it is in the pool; the links and the key mean something only then. */
  stored: boolean;
  key: string;
  /** A time of `performance.now()`; `Infinity` for no limit. */
  expiresAt: number;
  above: Entry<C> | undefined;
  below: Entry<C> | undefined;
  newer: Entry<C> | undefined;
  older: Entry<C> | undefined;
}

/** A misspelt option would be ignored. */
function checkOptions(options: ConnectionPoolOptions): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new TypeError(`ConnectionPool: expected an object of options, got ${String(options)}`);
  }
  const unknown = Object.keys(options).find((name) => name !== "maxIdle" && name !== "now");
  if (unknown !== undefined) {
    throw new TypeError(`ConnectionPool: unknown option ${unknown}; expected one of maxIdle, now`);
  }
  if (options.now === undefined || typeof options.now === "function") return;
  throw new TypeError(`ConnectionPool: now: expected a function, got ${typeof options.now}`);
}
