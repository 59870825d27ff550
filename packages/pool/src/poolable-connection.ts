/**
 * Why a pool gave a connection up. `"disabled"`: nothing is pooled for this peer, or by this pool at all; `"retired"`: its peer is no
 * longer wanted.
 */
export type CloseReason =
  | "evicted"
  | "idle-timeout"
  | "pool-closed"
  | "disabled"
  | "retired"
  | "closed"
  | "unexpected-data";

/**
 * What a connection says about itself while nobody uses it. `"closed"`: by either side, also by half;
 * `"unexpected-data"`: bytes came that no request asked for, so an answer could be read by the wrong client.
 */
export type IdleState = "usable" | "closed" | "unexpected-data";

/** What a pool needs of a connection. */
export interface PoolableConnection {
  /**
   * Called once by the pool when it gives the connection up, which it has forgotten by then; must close it, and must not
   * throw. After `"closed"` one direction may still be open.
   */
  closeIdle(reason: CloseReason): void;
  /** Asked just before it is stored and just before it is handed out: for each request. Must be cheap and must not throw. */
  idleState(): IdleState;
}
