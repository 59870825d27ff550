import type { ServerSession } from "@sluice/core";
import { isClientGone } from "./error-answers.ts";

/** The status in the books for a client that left before it was told one; nginx's number. */
const CLIENT_LEFT = 499;

/** How a request ended for the client: what to count it as. */
export interface Outcome {
  /** The status that the client was told; 499 if it left before that; 0 if we did not tell it any. */
  readonly status: number;
  /** Payload bytes sent to the client. */
  readonly sent: number;
  /**
   * - `complete`: the response went down whole.
   * - `cut`: it was begun, and we broke it off, because the upstream, a filter or the server ended.
   * - `client-left`: the client closed, or took no more bytes, before the response was complete.
   * - `not-sent`: there was a client, and it was told nothing.
   */
  readonly how: "complete" | "cut" | "client-left" | "not-sent";
}

/** The outcome as it stands. */
export function outcomeOf(downstream: ServerSession): Outcome {
  const { error, failedBefore, response, responseDone } = downstream;
  const gone = isClientGone(error) && failedBefore !== undefined;
  // What we cut is no client's decision.
  const left = gone && error.detail !== "server-stop" && error.detail !== "http2-rules";
  if (response === undefined || (gone && failedBefore === "head")) {
    return { status: left ? CLIENT_LEFT : 0, sent: 0, how: left ? "client-left" : "not-sent" };
  }
  const how = left ? "client-left" : responseDone && !gone ? "complete" : "cut";
  return { status: response.status, sent: downstream.responseBodyBytes, how };
}
