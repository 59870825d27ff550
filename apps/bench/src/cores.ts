/** The core that the proxy under test has to itself. */
export const PROXY_CORE = 0;

/** The core that the origin and the load generator share. */
export const LOAD_CORE = 1;
