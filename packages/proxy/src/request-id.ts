import { randomUUID } from "node:crypto";
import { checkOptionNames, checkOptionType, logger } from "@sluice/core";
import { checkFieldName, type RequestHeader, type ResponseHeader } from "@sluice/http";
import type { Session } from "./session.ts";

/** How requests are numbered, so that lines of several programs about one request can be found together. */
export interface RequestIdOptions {
  /** The field that carries the id, to the upstream and back to the client. Default `X-Request-Id`. */
  field?: string;
  /**
   * Whether the id that this client has sent is its own to give, as a proxy in front of this one may. One that is longer than 128
   * characters, or has others than visible ASCII, is never taken. Default: no client's is, or it could pass for another request.
   */
  trust?: (session: Session) => boolean;
  /** Makes an id: 1 to 128 characters of visible ASCII. Default: a random UUID (RFC 9562, version 4). */
  generate?: (session: Session) => string;
  /** Tell the client. Default true. */
  toClient?: boolean;
}

const OPTION_NAMES = ["field", "trust", "generate", "toClient"];

const USABLE = /^[!-~]{1,128}$/;

/** @internal The ids of the requests of one proxy. */
export class RequestIds {
  readonly #field: string;
  readonly #trust: ((session: Session) => boolean) | undefined;
  readonly #generate: (session: Session) => string;
  readonly #toClient: boolean;

  /** @throws TypeError for an option that is not known or of another type, InvalidHeaderError for a field that can be none. */
  constructor(options: RequestIdOptions) {
    checkOptionNames("requestId", options, OPTION_NAMES);
    const { field = "X-Request-Id", trust, generate = randomId, toClient = true } = options;
    checkFieldName(field);
    checkOptionType("requestId", "trust", trust, "function");
    checkOptionType("requestId", "generate", generate, "function");
    checkOptionType("requestId", "toClient", toClient, "boolean");
    this.#field = field;
    this.#trust = trust;
    this.#generate = generate;
    this.#toClient = toClient;
  }

  /** A function of the user that fails is logged; the request gets a random id, for it is no reason to fail. */
  idOf(session: Session): string {
    try {
      if (this.#trust !== undefined) {
        const given = session.request.get(this.#field);
        if (given !== undefined && USABLE.test(given) && this.#trust(session)) return given;
      }
      const id: unknown = this.#generate(session);
      if (typeof id === "string" && USABLE.test(id)) return id;
      throw new TypeError("requestId.generate: expected 1 to 128 characters of visible ASCII");
    } catch (err) {
      logger("proxy").error({ err }, "a request got a random id, since requestId failed");
      return randomId();
    }
  }

  toUpstream(outgoing: RequestHeader, session: Session): void {
    outgoing.set(this.#field, session.requestId!);
  }

  toClient(response: ResponseHeader, session: Session): void {
    if (this.#toClient) response.set(this.#field, session.requestId!);
  }
}

function randomId(): string {
  return randomUUID();
}
