/** What a daemon tells the process that has started it. */
export type DaemonMessage =
  /** It has its addresses and its account; with `--upgrade`: it waits for the sockets of the server before. */
  | { readonly daemon: "started" }
  /** It ends, for that reason. */
  | { readonly daemon: "failed"; readonly message: string };
