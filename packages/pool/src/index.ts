export { ConnectionPool, DEFAULT_MAX_IDLE, type ConnectionPoolOptions } from "./connection-pool.ts";
export type { CloseReason, IdleState, PoolableConnection } from "./poolable-connection.ts";
export type { UnexpectedDataCounts, UnexpectedDataPhase } from "./unexpected-data.ts";
