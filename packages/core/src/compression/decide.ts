import type { RequestHeader, ResponseHeader } from "@sluice/http";
import { readAcceptEncoding } from "./accept-encoding.ts";
import type { CompressionSettings } from "./compression-settings.ts";
import { codingOf, type CompressionAlgorithm, type DecompressionAlgorithm } from "./content-coding.ts";

/** What is done to the body of a response, and the request fields that decided it, for Vary. */
export type CompressionDecision = { readonly varyBy: readonly string[] } & (
  | { readonly kind: "compress"; readonly algorithm: CompressionAlgorithm }
  | { readonly kind: "decompress"; readonly algorithm: DecompressionAlgorithm }
  | {
      readonly kind: "none";
      readonly reason: NoCompressionReason;
      /** In a response to HEAD, or a 304: what the body of the 200 to a GET would be coded as, or decoded from. */
      readonly wouldBe?: CompressionAlgorithm;
    }
);

/**
 * Why a body stays as it is: all is off; the head is not final; the protocol was changed; there is no body; only a part of
 * a representation comes; a field forbids a transformation, or would be wrong after it; it is not worth it by type or length;
 * the client takes it as it is, or takes nothing that is on; it is in a coding that cannot be undone.
 */
export type NoCompressionReason =
  | "off"
  | "interim"
  | "upgraded"
  | "noBody"
  | "partial"
  | "noTransform"
  | "digest"
  | "notCompressible"
  | "accepted"
  | "noneAccepted"
  | "unknownCoding";

/** Below it, a coding adds more than it saves. */
const MIN_BYTES = 20;
const TYPES = /^(?:text\/|application\/|font\/|image\/(?:x-icon|svg\+xml|vnd\.microsoft\.icon)|binary\/octet-stream)/i;
/** Names of types that are compressed already, or piece by piece (gRPC). */
const PACKED_TYPES = /zip|woff|grpc/i;
/** Fields about the bytes as they are: RFC 9530, RFC 3230, and the Content-MD5 of RFC 2616. */
export const DIGESTS: readonly string[] = ["content-digest", "repr-digest", "digest", "content-md5"];
const NO_TRANSFORM = /(?:^|,)[ \t]*no-transform[ \t]*(?:,|$)/i;

const BY_NOTHING: readonly string[] = [];
const BY_ACCEPT_ENCODING: readonly string[] = ["accept-encoding"];
const BY_DICTIONARY: readonly string[] = ["accept-encoding", "available-dictionary"];

/**
 * Decides by the heads alone. `request` is the one that asked for this response: of a response from an upstream, what was
 * sent to it.
 * @param end No body follows.
 */
export function decideCompression(
  request: RequestHeader,
  response: ResponseHeader,
  end: boolean,
  settings: CompressionSettings,
): CompressionDecision {
  if (!settings.enabled) return none("off");
  const { status } = response;
  // RFC 9110, section 9.3.6: a tunnel, whatever its head says of a body.
  if (status === 101 || (request.method === "CONNECT" && status >= 200 && status < 300)) return none("upgraded");
  if (status < 200) return none("interim");
  // RFC 9110, sections 9.3.2 and 15.4.5: these heads are about the 200 to a GET.
  if (status === 304 || (request.method === "HEAD" && !hasNoBody(status))) {
    const body = decideBody(request, response, settings);
    if (body.kind === "none") return none("noBody", body.varyBy);
    return { kind: "none", reason: "noBody", varyBy: body.varyBy, wouldBe: body.algorithm };
  }
  if (end || hasNoBody(status) || response.get("content-length") === "0") return none("noBody");
  return decideBody(request, response, settings);
}

function decideBody(
  request: RequestHeader,
  response: ResponseHeader,
  settings: CompressionSettings,
): CompressionDecision {
  // RFC 9110, section 14: ranges are of one representation, and the parts of another do not fit to them.
  if (response.status === 206 || response.has("content-range")) return none("partial");
  // RFC 9110, section 7.7; RFC 9111, section 5.2.2.6.
  if (response.getAll("cache-control").some(forbidsTransform)) return none("noTransform");
  if (DIGESTS.some((name) => response.has(name))) return none("digest");

  const codings = tokensOf(response.getAll("content-encoding"));
  const compressible = isCompressible(response);
  // RFC 9110, section 12.5.5: also of what goes out as it came, since another client would have got something else.
  const varyBy =
    (settings.decompressing && codings.length > 0) || (settings.compressing && compressible)
      ? BY_ACCEPT_ENCODING
      : BY_NOTHING;
  // RFC 9111, section 5.2.1.6.
  if (request.getAll("cache-control").some(forbidsTransform)) return none("noTransform", varyBy);
  if (codings.length > 0) return decideCoded(request, codings, settings, varyBy);
  if (!settings.compressing) return none("off", varyBy);
  return compressible ? decidePlain(request, settings, varyBy) : none("notCompressible", varyBy);
}

/** RFC 9110, section 12.5.3: what the client does not accept is undone, if it is one coding and we can. */
function decideCoded(
  request: RequestHeader,
  tokens: readonly string[],
  settings: CompressionSettings,
  varyBy: readonly string[],
): CompressionDecision {
  const coding = tokens.length === 1 ? codingOf(tokens[0]!) : undefined;
  if (coding === undefined) return none("unknownCoding", varyBy);
  const { codings, identityRefused } = readAcceptEncoding(request.getAll("accept-encoding"));
  if (codings.includes(coding)) return none("accepted", varyBy);
  if (coding === "dcb" || coding === "dcz") return none("unknownCoding", varyBy);
  if (!settings.decompresses(coding)) return none("off", varyBy);
  return identityRefused ? none("noneAccepted", varyBy) : { kind: "decompress", algorithm: coding, varyBy };
}

function decidePlain(
  request: RequestHeader,
  settings: CompressionSettings,
  varyBy: readonly string[],
): CompressionDecision {
  for (const coding of readAcceptEncoding(request.getAll("accept-encoding")).codings) {
    if (coding === "identity") return none("accepted", varyBy);
    if (coding === "dcb" || settings.level(coding) === 0) continue;
    if (coding !== "dcz") return { kind: "compress", algorithm: coding, varyBy };
    // RFC 9842, section 6.2: by a dictionary that the client has said to have, and no other.
    if (settings.dictionary?.isAvailableTo(request) === true) {
      return { kind: "compress", algorithm: coding, varyBy: BY_DICTIONARY };
    }
  }
  return none("noneAccepted", varyBy);
}

function none(reason: NoCompressionReason, varyBy: readonly string[] = BY_NOTHING): CompressionDecision {
  return { kind: "none", reason, varyBy };
}

function hasNoBody(status: number): boolean {
  return status === 204 || status === 205;
}

function isCompressible(response: ResponseHeader): boolean {
  const length = response.get("content-length");
  // What is no number says nothing, and the session refuses it.
  if (length !== undefined && Number(length) < MIN_BYTES) return false;
  const type = response.get("content-type");
  // A 304 seldom names it. To take it for one that is compressed is the safe side: a weak ETag still matches a strong one.
  if (type === undefined) return response.status === 304;
  return TYPES.test(type) && !PACKED_TYPES.test(type);
}

function forbidsTransform(line: string): boolean {
  return NO_TRANSFORM.test(line);
}

/** The members of a list of tokens. Empty ones do not count (RFC 9110, section 5.6.1). */
function tokensOf(lines: readonly string[]): string[] {
  if (lines.length === 0) return [];
  return lines
    .join(",")
    .split(",")
    .map((token) => token.trim())
    .filter((token) => token !== "");
}
