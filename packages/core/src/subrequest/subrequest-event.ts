import type { HeaderFields, ResponseHeader } from "@sluice/http";

/**
 * A part of the response to a subrequest. Order: informational*, header (101 too), data*, trailers?, end. A response that was
 * cut has no end.
 */
export type SubrequestEvent =
  /** An interim head, 1xx but not 101. */
  | { readonly type: "informational"; readonly header: ResponseHeader }
  /** The final head. `bodyless`: no data will follow. */
  | { readonly type: "header"; readonly header: ResponseHeader; readonly bodyless: boolean }
  /** Never empty. The memory is the reader's. */
  | { readonly type: "data"; readonly data: Uint8Array }
  | { readonly type: "trailers"; readonly trailers: HeaderFields }
  | { readonly type: "end" };
