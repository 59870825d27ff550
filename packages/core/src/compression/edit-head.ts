import type { HeaderFields, ResponseHeader } from "@sluice/http";
import { DIGESTS, type CompressionDecision } from "./decide.ts";

/**
 * Makes the head of a response say what is done to its body. Its framing is the session's affair, which finds no length.
 * @param preserveEtag See `CompressionSettings.setPreserveEtag`.
 */
export function editHead(response: ResponseHeader, decision: CompressionDecision, preserveEtag: boolean): void {
  for (const field of decision.varyBy) addVary(response, field);
  if (decision.kind === "none" && decision.wouldBe === undefined) return;
  // RFC 9110, section 8.6: also of a body that is not sent, there must be no length but that of the one to a GET.
  response.remove("content-length");
  // RFC 9110, section 14.3: a range would be of bytes that nobody has.
  response.remove("accept-ranges");
  // RFC 9110, section 15.4.5; RFC 9111, section 4.3.4: a 304 with a strong ETag would be of no stored response.
  if (!preserveEtag) weakenEtag(response);
  if (decision.kind === "none") return;
  // RFC 9110, section 8.4.
  if (decision.kind === "compress") response.set("Content-Encoding", decision.algorithm);
  else response.remove("content-encoding");
}

/**
 * Makes the trailers of a body that was coded or decoded say nothing of the bytes that came: a digest that a head announced too
 * late to leave the body alone (RFC 9530, section 2; it would look like damage), a strong ETag (RFC 9110, section 8.8.3).
 */
export function editTrailers(trailers: HeaderFields, preserveEtag: boolean): void {
  for (const name of DIGESTS) trailers.remove(name);
  if (!preserveEtag) weakenEtag(trailers);
}

/** RFC 9110, section 12.5.5: the response was chosen by `field`. One line names it, or `*`, which stands for everything. */
function addVary(response: ResponseHeader, field: string): void {
  for (const line of response.getAll("vary")) {
    for (const token of line.split(",")) {
      const name = token.trim().toLowerCase();
      if (name === "*" || name === field) return;
    }
  }
  response.append("Vary", field);
}

/** RFC 9110, section 8.8.1: a strong validator names these very bytes. What is no ETag names nothing. */
function weakenEtag(fields: HeaderFields): void {
  const etag = fields.get("etag");
  if (etag === undefined || etag.startsWith("W/")) return;
  if (etag.startsWith('"')) fields.set("ETag", `W/${etag}`);
  else fields.remove("etag");
}
