import { configureLogs } from "../packages/core/src/log/logger.ts";

// For files that share a process: what one of them has set for its logs is nothing to the next.
configureLogs();
