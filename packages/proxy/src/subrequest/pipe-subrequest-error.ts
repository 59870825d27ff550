import { ProxyError, type ProxyErrorOptions } from "@sluice/error";
import type { Responded } from "../responded.ts";
import type { SavedBody } from "./input-body.ts";

/** How far a pipe came. */
export interface PipeSubrequestState {
  /** What was kept of the client's body; `undefined` if nothing was to be kept. */
  readonly savedBody: SavedBody | undefined;
  /** The subrequest gave a final head, whether or not the filter let it pass. `false` without an error: it gave no answer. */
  readonly headerReceived: boolean;
}

/** What a pipe gave. */
export interface PipedSubrequest extends PipeSubrequestState {
  /** To be returned by the hook; `undefined` when the client was not answered in full, by what the filter dropped. */
  readonly responded: Responded | undefined;
  /** Resolves when the subrequest is over, its `logging` included; never rejects. */
  readonly done: Promise<void>;
}

/** A pipe failed; type, source and status are those of its `cause`. */
export class PipeSubrequestError extends ProxyError {
  override readonly name: string = "PipeSubrequestError";
  readonly state: PipeSubrequestState;
  /** The subrequest failed in the middle of its answer; otherwise the client did, or the filter, or a module. */
  readonly fromSubrequest: boolean;

  constructor(cause: ProxyError, state: PipeSubrequestState, fromSubrequest: boolean) {
    const whose = fromSubrequest ? "the piped subrequest" : "the client's side of a piped subrequest";
    // Nothing of it can be tried again: the client's body is gone, or an answer was begun.
    const options: ProxyErrorOptions = { context: whose, cause, source: cause.source, retry: false };
    if (cause.status !== undefined) options.status = cause.status;
    if (cause.detail !== undefined) options.detail = cause.detail;
    super(cause.type, options);
    this.state = state;
    this.fromSubrequest = fromSubrequest;
  }
}
