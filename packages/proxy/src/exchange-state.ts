/**
 * What an attempt still expects of the client:
 * - `reading`: bytes may come, until the end → `finished`, `upgraded`, `errored`
 * - `upgraded`: the protocol was changed while the body was still going up; it ends under its own framing, and the bytes of the
 *   new protocol follow → `reading`, `errored`
 * - `finished`: all of it went up; the client is still watched → `reading` (the protocol was changed), `errored`
 * - `errored`: the client is lost, and nothing that comes late undoes that
 */
export type RequestState = "reading" | "upgraded" | "finished" | "errored";

/**
 * What an attempt still expects of the upstream:
 * - `head`: interim heads may come, and the final one must → `body`
 * - `body`: the final head went down → `ended`
 * - `ended`: the response went down whole
 */
export type ResponseState = "head" | "body" | "ended";

/** An end came: of the body, or of the client's direction after a change of protocol. */
export function finished(state: RequestState): RequestState {
  if (state === "errored") return "errored";
  return state === "upgraded" ? "reading" : "finished";
}

/** The protocol was changed: the client speaks again, and ends once more. */
export function upgraded(state: RequestState): RequestState {
  if (state === "errored") return "errored";
  return state === "finished" ? "reading" : "upgraded";
}

/** Nothing more goes up. */
export function isDone(state: RequestState): boolean {
  return state === "finished" || state === "errored";
}
