import { checkMethod, checkTarget } from "./field-grammar.ts";
import type { FieldLines } from "./field-lines.ts";
import { HeaderFields, type HeaderFieldsInit } from "./header-fields.ts";
import type { HttpVersion } from "./http-version.ts";

/**
 * The head of a request. A transparent proxy does not alter what it does not touch: spelling and order of the fields and
 * the bytes of the target stay as they came.
 */
export class RequestHeader extends HeaderFields {
  version: HttpVersion;
  /**
   * HTTP/2 only: with an empty body, put END_STREAM on the HEADERS frame (`true`, the default) or send an empty DATA frame
   * (`false`, which gRPC-web needs).
   */
  sendEndStream = true;
  /**
   * The scheme of an absolute target (`GET https://a.test/x`), which the server turns into a path and Host; `undefined` if the
   * target came without one. It is not sent. Who goes where clients say, as a forward proxy does, must heed it: what was asked for
   * by https must not be fetched in clear text (RFC 9110, section 4.2.2).
   */
  scheme: "http" | "https" | undefined = undefined;
  #method: string;
  #target: string;

  /** @internal Takes the parts over as a parser has checked them; users call {@link RequestHeader.build}. */
  constructor(method: string, target: string, version: HttpVersion, fields?: string[] | FieldLines) {
    super(fields);
    this.#method = method;
    this.#target = target;
    this.version = version;
  }

  /**
   * @param target As it stands on the request line: `/path?query`, `*`, `host:port` or an absolute URI.
   * @throws InvalidHeaderError when a part could not stand in a head.
   */
  static build(method: string, target: string, fields: HeaderFieldsInit = []): RequestHeader {
    checkMethod(method);
    checkTarget(target);
    const header = new RequestHeader(method, target, "1.1");
    header.appendAll(fields);
    return header;
  }

  /** Case-sensitive (RFC 9110, section 9.1): `Get` is not GET. */
  get method(): string {
    return this.#method;
  }

  /** @throws InvalidHeaderError when it is not a token. */
  set method(method: string) {
    checkMethod(method);
    this.#method = method;
  }

  /** The target as it stands on the request line, one character a byte. */
  get target(): string {
    return this.#target;
  }

  /** @throws InvalidHeaderError when it is empty or holds a space, a control character or a fragment. */
  set target(target: string) {
    checkTarget(target);
    this.#target = target;
  }

  /** The target without its query. */
  get path(): string {
    const query = this.#target.indexOf("?");
    return query < 0 ? this.#target : this.#target.slice(0, query);
  }

  /** What follows the first `?` of the target; `undefined` if there is none. */
  get query(): string | undefined {
    const query = this.#target.indexOf("?");
    return query < 0 ? undefined : this.#target.slice(query + 1);
  }

  /** What follows the last `.` of the path's last segment; `undefined` without a dot. */
  get fileExtension(): string | undefined {
    const path = this.path;
    const dot = path.lastIndexOf(".");
    return dot <= path.lastIndexOf("/") ? undefined : path.slice(dot + 1);
  }

  clone(): RequestHeader {
    const copy = new RequestHeader(this.#method, this.#target, this.version);
    copy.takeFieldsOf(this);
    copy.sendEndStream = this.sendEndStream;
    copy.scheme = this.scheme;
    return copy;
  }
}
