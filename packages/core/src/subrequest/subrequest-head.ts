import type { RequestHeader } from "@sluice/http";

/**
 * The head of a subrequest: a copy of its parent's, as HTTP/1.1 whatever the parent spoke. A request of HTTP/1.0 may have
 * no Host, which HTTP/1.1 demands: then it stays HTTP/1.0, and gets one on its way up as its parent does.
 */
export function subrequestHead(parent: RequestHeader): RequestHeader {
  const head = parent.clone();
  if (head.version !== "1.0" || head.has("host")) head.version = "1.1";
  return head;
}

/**
 * Takes away the fields that describe a request body; as in Pingora, and Expect, which must not stand where there is no body
 * (RFC 9110, section 10.1.1).
 */
export function removeBodyFields(head: RequestHeader): void {
  for (const name of BODY_FIELDS) head.remove(name);
}

const BODY_FIELDS = ["Content-Length", "Transfer-Encoding", "Content-Type", "Content-Encoding", "Expect"];
