import { randomBytes } from "node:crypto";
import { ProxyError } from "@sluice/error";
import { RequestHeader, sameName, titledName } from "@sluice/http";
import { parseLength } from "../http1/framing.ts";
import type { HeadLimits } from "../http1/head-limits.ts";
import { CONTENT_LENGTH, EXPECT, HOST, TAG_MASK } from "../http1/known-fields.ts";
import { malformed, quoteAuthority } from "../http1/reject.ts";
import { checkTargetForm, isHost } from "../http1/request-rules.ts";
import {
  INVALID,
  invalidField,
  PSEUDO,
  PSEUDO_AUTHORITY,
  PSEUDO_METHOD,
  PSEUDO_PATH,
  PSEUDO_PROTOCOL,
  PSEUDO_SCHEME,
} from "./field-mark.ts";
import { fieldFault, shown } from "./heads/field-rules.ts";
import type { FieldReceiver } from "./hpack/decoder.ts";

/** What is kept of a head, and what is looked at of it before it is dropped. */
export interface RequestHeadLimits extends HeadLimits {
  readonly extendedConnect: boolean;
}

/**
 * A request's head as it comes over HTTP/2, field by field. What breaks RFC 9113, section 8, is {@link malformed}, and its stream is
 * to be reset; what only cannot be served has an {@link error}, and is answered.
 */
export class Http2RequestHead implements FieldReceiver {
  request!: RequestHeader;
  /** What extended CONNECT asks to speak (RFC 8441, section 4). */
  protocol: string | undefined = undefined;
  /** -1 if none is told. */
  contentLength = -1;
  /** Which rule it breaks. */
  malformed: string | undefined = undefined;
  /** It is so large that nothing is to be known of it. */
  tooLarge = false;
  /** Why it cannot be served. */
  error: ProxyError | undefined = undefined;
  #limits: RequestHeadLimits = { maxHeadBytes: 0, maxFields: 0, extendedConnect: false };
  #fields: string[] = [];
  /** Of names and values. */
  #bytes = 0;
  #count = 0;
  #method: string | undefined = undefined;
  #path: string | undefined = undefined;
  #scheme: string | undefined = undefined;
  #authority: string | undefined = undefined;
  #host: string | undefined = undefined;
  #cookieAt = -1;
  #neverIndexed: Set<string> | undefined = undefined;

  begin(limits: RequestHeadLimits): this {
    this.#limits = limits;
    // Host is the first.
    this.#fields = ["Host", ""];
    this.#bytes = 0;
    this.#count = 0;
    this.#method = undefined;
    this.#path = undefined;
    this.#scheme = undefined;
    this.#authority = undefined;
    this.#host = undefined;
    this.#cookieAt = -1;
    this.#neverIndexed = undefined;
    this.protocol = undefined;
    this.contentLength = -1;
    this.malformed = undefined;
    this.tooLarge = false;
    this.error = undefined;
    return this;
  }

  field(name: string, value: string, neverIndexed: boolean, mark: number): void {
    if (this.malformed !== undefined || this.tooLarge) return;
    if (neverIndexed) (this.#neverIndexed ??= new Set()).add(name === ":authority" ? "host" : name);
    const { maxHeadBytes, maxFields } = this.#limits;
    this.#bytes += name.length + value.length;
    if ((mark & PSEUDO) !== 0) this.malformed = this.#takePseudo(name, value, mark);
    else if (++this.#count > maxFields || this.#bytes > maxHeadBytes) {
      this.tooLarge = this.#count > maxFields * 2 || this.#bytes > maxHeadBytes * 2;
    } else if (mark === 0) this.#takeOther(name, value);
    else this.malformed = fieldFault(name, value, mark) ?? this.#takeKnown(name, value, mark & TAG_MASK);
  }

  /** All of them came. @param endStream The request has no content. */
  end(endStream: boolean): void {
    if (this.tooLarge) return;
    this.malformed ??= this.#fault(endStream);
    if (this.malformed !== undefined) return;
    try {
      this.#checkSize();
      this.#build();
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      this.error = error;
      this.#fields[1] = this.#authority ?? "";
      this.request = new RequestHeader(this.#method!, this.#path ?? this.#authority ?? "-", "2", this.#fields);
    }
    this.request.neverIndexed = this.#neverIndexed;
  }

  /** RFC 9113, sections 8.3 and 8.3.1: each at most once, and in front. */
  #takePseudo(name: string, value: string, mark: number): string | undefined {
    if ((mark & INVALID) !== 0) return invalidField(name, value);
    if (this.#count > 0) return `${name} behind other fields`;
    let before: string | undefined;
    switch (mark) {
      case PSEUDO_METHOD:
        before = this.#method;
        this.#method = value;
        break;
      case PSEUDO_PATH:
        before = this.#path;
        this.#path = value;
        break;
      case PSEUDO_SCHEME:
        before = this.#scheme;
        this.#scheme = value;
        break;
      case PSEUDO_AUTHORITY:
        before = this.#authority;
        this.#authority = value;
        break;
      case PSEUDO_PROTOCOL:
        // RFC 8441, section 4: who has not been told must not.
        if (!this.#limits.extendedConnect) return ":protocol, which our SETTINGS do not offer";
        before = this.protocol;
        this.protocol = value;
        break;
      default:
        return `the pseudo-header field ${shown(name)} in a request`;
    }
    return before === undefined ? undefined : `${name} twice`;
  }

  #takeOther(name: string, value: string): void {
    if (name === "cookie") this.#takeCookie(value);
    // It speaks of one connection only (RFC 7540, section 3.2.1).
    else if (name !== "http2-settings") this.#fields.push(titledName(name), value);
  }

  /** Those that mean something to the protocol. */
  #takeKnown(name: string, value: string, tag: number): string | undefined {
    switch (tag) {
      case HOST:
        if (this.#host !== undefined) return "Host twice";
        this.#host = value;
        return undefined;
      case CONTENT_LENGTH:
        if (this.contentLength >= 0) return "Content-Length twice";
        this.contentLength = parseLength(value);
        if (this.contentLength < 0) return `a Content-Length that is none: ${shown(value)}`;
        break;
      case EXPECT:
        // RFC 9110, section 10.1.1.
        if (value.toLowerCase() !== "100-continue") {
          this.error ??= malformed("an expectation that is not known", 417);
        }
        break;
    }
    this.#fields.push(titledName(name), value);
    return undefined;
  }

  /** What RFC 9113 calls malformed. Whatever has to be there, is there if this gives nothing. */
  #fault(endStream: boolean): string | undefined {
    const method = this.#method;
    const path = this.#path;
    const scheme = this.#scheme;
    const authority = this.#authority;
    if (method === undefined) return "no :method";
    if (method !== "GET" && !METHOD.test(method)) return `a :method that is none: ${shown(method)}`;
    if (method === "CONNECT" && this.protocol === undefined) {
      // Section 8.5.
      if (path !== undefined || scheme !== undefined) return "CONNECT with :path or :scheme";
      if (authority === undefined) return "CONNECT without :authority";
    } else {
      // RFC 8441, section 4.
      if (this.protocol !== undefined && method !== "CONNECT") return ":protocol without CONNECT";
      if (scheme === undefined) return "no :scheme";
      if (path === undefined) return "no :path";
      if (scheme !== "https" && scheme !== "http" && !SCHEME.test(scheme))
        return `a :scheme that is none: ${shown(scheme)}`;
      const isAsterisk = path === "*" && method === "OPTIONS";
      if (!isAsterisk && (path.charCodeAt(0) !== 0x2f || !VISIBLE.test(path)))
        return `a :path that is none: ${shown(path)}`;
      // Section 8.3.1: one of them for schemes with an authority.
      if (authority === undefined && this.#host === undefined) return "neither :authority nor Host";
    }
    if (authority !== undefined && !isAuthorityText(authority))
      return `an :authority that is none: ${quoteAuthority(authority)}`;
    if (this.#host !== undefined && !isAuthorityText(this.#host))
      return `a Host that is none: ${quoteAuthority(this.#host)}`;
    // Section 8.1.1.
    if (endStream && this.contentLength > 0) return `a Content-Length of ${this.contentLength} without content`;
    return undefined;
  }

  /** RFC 9113, section 8.2.3: what was split for compression is put together again. */
  #takeCookie(value: string): void {
    const fields = this.#fields;
    if (this.#cookieAt >= 0) {
      fields[this.#cookieAt] += `; ${value}`;
      return;
    }
    fields.push("cookie", value);
    this.#cookieAt = fields.length - 1;
  }

  #checkSize(): void {
    const { maxHeadBytes, maxFields } = this.#limits;
    if (this.#bytes > maxHeadBytes) {
      const inTarget = (this.#path?.length ?? 0) > maxHeadBytes / 2;
      throw malformed(`a head of more than ${maxHeadBytes} bytes`, inTarget ? 414 : 431, "too-large");
    }
    if (this.#count > maxFields) throw malformed(`more than ${maxFields} fields`, 431, "too-large");
  }

  #build(): void {
    const fields = this.#fields;
    const method = this.#method!;
    const host = this.#checkedHost();
    fields[1] = host;
    if (this.error !== undefined) throw this.error;
    const isConnect = method === "CONNECT";
    if (isConnect && this.protocol === undefined) {
      checkTargetForm("CONNECT", host);
      // RFC 9110, section 9.3.6.
      if (this.contentLength > 0) throw malformed("a CONNECT with content");
      this.request = new RequestHeader("CONNECT", host, "2", fields);
      return;
    }
    const path = this.#path!;
    this.#checkPath(path);
    // As HTTP/1 says it: whoever looks at it, here or behind us, need know one form only.
    this.request = new RequestHeader(isConnect ? "GET" : method, path, "2", fields);
    this.request.scheme = this.#scheme === "https" ? "https" : "http";
    if (isConnect) this.#addUpgrade(fields);
  }

  /** RFC 9113, section 8.3.1. */
  #checkedHost(): string {
    const host = this.#host;
    const authority = this.#authority ?? host!;
    if (!isHost(authority)) throw malformed(`an :authority that is none: ${quoteAuthority(authority)}`);
    if (host !== undefined && host !== authority && host.toLowerCase() !== authority.toLowerCase())
      throw malformed(":authority and Host that differ");
    return authority;
  }

  #checkPath(path: string): void {
    const scheme = this.#scheme!;
    if (scheme !== "http" && scheme !== "https") throw malformed(`a :scheme that is not http: ${shown(scheme)}`);
    // No fragment (RFC 9113, section 8.3.1).
    if (path.includes("#")) throw malformed(`a :path that is none: ${shown(path)}`);
  }

  /**
   * RFC 8441, section 5, says what the fields of the HTTP/1 handshake become; this is the way back. Other protocols are answered
   * by 501 (RFC 9220, section 3): as an Upgrade they mean something else, and `h2c` would carry requests past all hooks.
   */
  #addUpgrade(fields: string[]): void {
    const protocol = this.protocol!;
    if (!sameName(protocol, "websocket"))
      throw malformed(`an extended CONNECT for ${shown(protocol)}; websocket is the only one`, 501);
    if (this.contentLength > 0) throw malformed("an extended CONNECT with content");
    this.protocol = "websocket";
    // The client's own has no meaning (RFC 8441, section 5), and beside ours it would make two.
    for (let at = 2; at < fields.length;) {
      if (sameName(fields[at]!, "sec-websocket-key")) fields.splice(at, 2);
      else at += 2;
    }
    fields.push("Upgrade", "websocket", "Sec-WebSocket-Key", randomBytes(16).toString("base64"));
  }
}

// RFC 3986: visible characters; bytes above 0x7F pass as over HTTP/1.
const VISIBLE = /^[\x21-\x7e\x80-\xff]+$/;
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*$/;
// RFC 3986, section 3.2, without a user (RFC 9113, section 8.3.1).
const AUTHORITY = /^[A-Za-z0-9._~%!$&'()*+,;=:[\]-]+$/;

/** The text that passed last: most requests of a server name the same host. */
let goodAuthority: string | undefined;

function isAuthorityText(text: string): boolean {
  if (text === goodAuthority) return true;
  if (!AUTHORITY.test(text)) return false;
  goodAuthority = text;
  return true;
}
