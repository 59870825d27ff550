/** Times of one exchange with an upstream, in milliseconds; 0 waits for ever. */
export interface ExchangeLimits {
  /** Wait for the next bytes of the response. */
  readMs: number;
  /** Wait for an upstream that takes no bytes. */
  writeMs: number;
  /** How long the connection may be kept for another request; `undefined`: as long as the peer does; 0: not at all. */
  idleMs: number | undefined;
  /** How many requests the connection may serve in all; 0 or absent: any number. */
  maxRequests?: number;
}
