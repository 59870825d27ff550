import type { SubrequestHandle } from "@sluice/core";
import { ProxyError } from "@sluice/error";
import type { SubrequestInfo, SubrequestTree } from "./subrequest-info.ts";
import type { SubrequestLimits } from "./subrequest-limits.ts";

/** A request with its subrequests. */
export class SubrequestFamily {
  /** Of the request itself: 0 for a client's. */
  readonly depth: number;
  readonly tree: SubrequestTree;
  readonly #running = new Set<SubrequestHandle>();
  #over = false;

  /** @param parent What the request knows of itself, if it is a subrequest. */
  constructor(parent: SubrequestInfo | undefined) {
    this.depth = parent?.depth ?? 0;
    this.tree = parent?.tree ?? { count: 0 };
  }

  /**
   * Counts one more.
   * @throws ProxyError `InternalError` when that is one too many.
   */
  add({ maxDepth, maxPerRequest }: SubrequestLimits): void {
    if (this.depth >= maxDepth) {
      const context = `a subrequest ${this.depth + 1} deep; at most ${maxDepth} (subrequests.maxDepth)`;
      throw ProxyError.internal("InternalError", context);
    }
    if (this.tree.count >= maxPerRequest) {
      const context = `more than ${maxPerRequest} subrequests of one request (subrequests.maxPerRequest)`;
      throw ProxyError.internal("InternalError", context);
    }
    this.tree.count++;
  }

  /**
   * One begins to run that is to end with its parent.
   * @throws ProxyError `InternalError` when the parent is over.
   */
  begin(handle: SubrequestHandle): void {
    if (this.#over) {
      const hint = "spawnBackground makes one that may outlive it";
      throw ProxyError.internal("InternalError", `a subrequest was run after its parent request had ended; ${hint}`);
    }
    this.#running.add(handle);
  }

  ended(handle: SubrequestHandle): void {
    this.#running.delete(handle);
  }

  /**
   * The request is over: what still runs for it has no purpose any more.
   * @param failure What it failed with.
   */
  end(failure: ProxyError | undefined): void {
    this.#over = true;
    for (const handle of this.#running) handle.cancel(parentGone("the parent of the subrequest is over", failure));
  }
}

/** Nobody is there for a subrequest any more. That we cut its parent because the server stops holds for it as well. */
export function parentGone(context: string, failure: ProxyError | undefined): ProxyError {
  const error = ProxyError.downstream("WriteError", context, failure);
  return failure?.detail === "server-stop" ? error.setDetail("server-stop") : error;
}
