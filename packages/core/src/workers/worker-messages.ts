import type { WatchedFiles } from "../config/inherited-files.ts";
import type { BusMessage, RetainedMessage } from "../bus/bus-message.ts";

/** What a worker tells the process that has started it. */
export type WorkerMessage =
  /** It is there and waits for {@link PrimaryMessage} `welcome`. */
  | { readonly kind: "hello" }
  /** Its services are ready. */
  | { readonly kind: "ready" }
  /** It cannot start; it ends. */
  | { readonly kind: "failed"; readonly message: string }
  /** Its event loop turns. */
  | { readonly kind: "heartbeat"; readonly heapUsed: number; readonly heapLimit: number }
  /** What it could use of files that are watched, for workers that come later. */
  | { readonly kind: "files"; readonly files: WatchedFiles }
  /** It takes nothing new and ends when nothing is in flight. */
  | { readonly kind: "draining"; readonly reason: "uncaught-error" | "signal"; readonly message: string }
  /** It has done what was asked. `error` says why not. */
  | { readonly kind: "reloaded"; readonly error: string | undefined }
  | BusMessage;

/** What a worker is told. */
export type PrimaryMessage =
  | {
      readonly kind: "welcome";
      readonly retained: readonly RetainedMessage[];
      /** The values of the last reload, if there was one. */
      readonly reload: readonly unknown[] | undefined;
      readonly heartbeatMs: number;
    }
  | { readonly kind: "stop"; readonly graceMs: number }
  | { readonly kind: "reopen-logs" }
  | { readonly kind: "reload"; readonly values: readonly unknown[] }
  | BusMessage;
