/** What a subrequest knows of itself: `session.subrequest`. */
export interface SubrequestInfo {
  /** What its creator gave it. */
  readonly userCtx: unknown;
  /** 1 for the subrequest of a client's request, 2 for one of that, and so on. */
  readonly depth: number;
  /** Made by `spawnBackground`: nobody reads the answer, and the parent may be over. */
  readonly background: boolean;
  /** @internal Counts the subrequests of the client's request and of all below it. */
  readonly tree: SubrequestTree;
}

/** One for each request of a client that has subrequests. */
export interface SubrequestTree {
  count: number;
}
