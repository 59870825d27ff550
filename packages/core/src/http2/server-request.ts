import { randomBytes } from "node:crypto";
import { ProxyError } from "@sluice/error";
import { RequestHeader, sameName, titledName } from "@sluice/http";
import { parseLength } from "../http1/framing.ts";
import type { HeadLimits } from "../http1/head-limits.ts";
import { malformed } from "../http1/reject.ts";
import { checkTargetForm, isHost } from "../http1/request-rules.ts";

/** A request's head as it came over HTTP/2. */
export class Http2RequestHead {
  request!: RequestHeader;
  /** What extended CONNECT asks to speak (RFC 8441, section 4). */
  protocol: string | undefined = undefined;
  /** -1 if none is told. */
  contentLength = -1;
  /** Why it cannot be served. */
  error: ProxyError | undefined = undefined;
  /** Of names and values. */
  bytes = 0;

  #method = "";
  #path: string | undefined = undefined;
  #scheme: string | undefined = undefined;
  #authority: string | undefined = undefined;
  #host: string | undefined = undefined;
  #cookieAt = -1;

  /**
   * Reads what Node gives: name, value, …, as they came. nghttp2 has refused before what is malformed by section 8 of RFC 9113:
   * pseudo-header fields that are missing, unknown, there twice or in the wrong place, capital letters, and fields that speak of
   * one connection only.
   */
  read(raw: readonly string[], limits: HeadLimits): void {
    const fields: string[] = ["Host", ""];
    this.protocol = undefined;
    this.contentLength = -1;
    this.error = undefined;
    this.#path = undefined;
    this.#scheme = undefined;
    this.#authority = undefined;
    this.#host = undefined;
    this.#cookieAt = -1;
    this.bytes = 0;
    try {
      for (let at = 0; at < raw.length; at += 2) this.#take(raw[at]!, raw[at + 1]!, fields);
      this.#checkSize(fields.length / 2 - 1, limits);
      this.#build(fields);
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      this.error = error;
      fields[1] = this.#authority ?? "";
      this.request = new RequestHeader(this.#method, this.#path ?? this.#authority ?? "-", "2", fields);
    }
  }

  #take(name: string, value: string, fields: string[]): void {
    this.bytes += name.length + value.length;
    if (name.charCodeAt(0) === 0x3a) {
      this.#takePseudo(name, value);
      return;
    }
    switch (name.length) {
      case 4:
        if (name === "host") {
          this.#takeHost(value);
          return;
        }
        break;
      case 6:
        if (name === "cookie") {
          this.#takeCookie(value, fields);
          return;
        }
        // RFC 9110, section 10.1.1.
        if (name === "expect" && value.toLowerCase() !== "100-continue")
          this.error ??= malformed("an expectation that is not known", 417);
        break;
      case 14:
        if (name === "content-length") this.#takeLength(value);
        // It speaks of one connection only (RFC 7540, section 3.2.1).
        if (name === "http2-settings") return;
        break;
    }
    fields.push(titledName(name), value);
  }

  #takePseudo(name: string, value: string): void {
    switch (name) {
      case ":method":
        this.#method = value;
        break;
      case ":path":
        this.#path = value;
        break;
      case ":scheme":
        this.#scheme = value;
        break;
      case ":authority":
        this.#authority = value;
        break;
      case ":protocol":
        this.protocol = value;
        break;
    }
  }

  #takeHost(value: string): void {
    if (this.#host !== undefined) throw malformed("more than one Host");
    this.#host = value;
  }

  /** RFC 9113, section 8.2.3: what was split for compression is put together again. */
  #takeCookie(value: string, fields: string[]): void {
    if (this.#cookieAt >= 0) {
      fields[this.#cookieAt] += `; ${value}`;
      return;
    }
    fields.push("cookie", value);
    this.#cookieAt = fields.length - 1;
  }

  #takeLength(value: string): void {
    if (this.contentLength >= 0) throw malformed("more than one Content-Length");
    this.contentLength = parseLength(value);
    if (this.contentLength < 0) throw malformed(`a Content-Length that is none: ${JSON.stringify(value.slice(0, 80))}`);
  }

  #checkSize(fieldCount: number, limits: HeadLimits): void {
    if (this.bytes > limits.maxHeadBytes) {
      const inTarget = (this.#path?.length ?? 0) > limits.maxHeadBytes / 2;
      throw malformed(`a head of more than ${limits.maxHeadBytes} bytes`, inTarget ? 414 : 431, "too-large");
    }
    if (fieldCount > limits.maxFields) throw malformed(`more than ${limits.maxFields} fields`, 431, "too-large");
  }

  #build(fields: string[]): void {
    const host = this.#checkedHost();
    fields[1] = host;
    if (this.error !== undefined) throw this.error;
    const isConnect = this.#method === "CONNECT";
    if (isConnect && this.protocol === undefined) {
      checkTargetForm("CONNECT", host);
      // RFC 9110, section 9.3.6.
      if (this.contentLength > 0) throw malformed("a CONNECT with content");
      this.request = new RequestHeader("CONNECT", host, "2", fields);
      return;
    }
    const path = this.#path ?? "/";
    this.#checkPath(path);
    // As HTTP/1 says it: whoever looks at it, here or behind us, need know one form only.
    this.request = new RequestHeader(isConnect ? "GET" : this.#method, path, "2", fields);
    this.request.scheme = this.#scheme === "https" ? "https" : "http";
    if (isConnect) this.#addUpgrade(fields);
  }

  /** RFC 9113, section 8.3.1. */
  #checkedHost(): string {
    const host = this.#host;
    const authority = this.#authority ?? host;
    if (authority === undefined || authority === "") throw malformed("neither :authority nor Host");
    if (!isHost(authority)) throw malformed(`an :authority that is none: ${JSON.stringify(authority.slice(0, 80))}`);
    if (host !== undefined && host !== authority && host.toLowerCase() !== authority.toLowerCase())
      throw malformed(":authority and Host that differ");
    return authority;
  }

  #checkPath(path: string): void {
    const scheme = this.#scheme;
    if (scheme !== "http" && scheme !== "https")
      throw malformed(`a :scheme that is not http: ${JSON.stringify(scheme?.slice(0, 80))}`);
    if (path === "*" && this.#method === "OPTIONS") return;
    if (path.charCodeAt(0) !== 0x2f || !PATH.test(path))
      throw malformed(`a :path that is none: ${JSON.stringify(path.slice(0, 80))}`);
  }

  /**
   * RFC 8441, section 5, says what the fields of the HTTP/1 handshake become; this is the way back. Other protocols are answered
   * by 501 (RFC 9220, section 3): as an Upgrade they mean something else, and `h2c` would carry requests past all hooks.
   */
  #addUpgrade(fields: string[]): void {
    const protocol = this.protocol!;
    if (!sameName(protocol, "websocket"))
      throw malformed(
        `an extended CONNECT for ${JSON.stringify(protocol.slice(0, 80))}; websocket is the only one`,
        501,
      );
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

// RFC 3986: visible characters; bytes above 0x7F pass as over HTTP/1. No fragment (RFC 9113, section 8.3.1).
const PATH = /^[\x21\x22\x24-\x7e\x80-\xff]+$/;
