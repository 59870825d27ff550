/** How long a client's connection may be idle. Milliseconds; as long as with nginx here, so that none is closed during a run. */
export const KEEP_ALIVE_MS = 3_600_000;
