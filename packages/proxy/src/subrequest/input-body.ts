import { checkOptionNames, shown } from "@sluice/core";
import { ProxyError } from "@sluice/error";
import type { HeaderFields } from "@sluice/http";

/** Where the body of a piped subrequest comes from. */
export type InputBody = PresetBody | ClientBody;

/** A body that is there. The modules of the main request do not see it. */
export interface PresetBody {
  readonly kind: "preset";
  /** None: no body. */
  readonly pieces: readonly Uint8Array[];
  /** What follows the body; with trailers it has no Content-Length. */
  readonly trailers: HeaderFields | undefined;
}

/** The body that the client sends, through the modules of its request. */
export interface ClientBody {
  readonly kind: "client";
  /** Keeps it as well, up to so many bytes, to be sent again. 0 keeps nothing. */
  readonly saveUpToBytes: number;
}

/** A body that is there: text (as UTF-8), bytes or pieces of them. Without any, the subrequest has no body. */
export function presetBody(
  body: string | Uint8Array | readonly Uint8Array[] = [],
  trailers?: HeaderFields,
): PresetBody {
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  const pieces = bytes instanceof Uint8Array ? [bytes] : bytes;
  for (const piece of pieces) {
    if (!(piece instanceof Uint8Array)) throw new TypeError("presetBody: expected text, bytes or pieces of bytes");
  }
  return { kind: "preset", pieces: pieces.filter(({ length }) => length > 0), trailers };
}

/**
 * The body that the client sends. One that is to be sent to further subrequests is saved: what the pipe gives as `savedBody`
 * becomes their input.
 * @throws RangeError for a limit that cannot be, TypeError for an option that is not known.
 */
export function clientBody(options: { saveUpToBytes?: number } = {}): ClientBody {
  // What is not there may be misspelt. Those that are right pay nothing, for it is called for each request.
  if (options?.saveUpToBytes === undefined) checkOptionNames("clientBody", options, ["saveUpToBytes"]);
  const { saveUpToBytes = 0 } = options;
  if (!(typeof saveUpToBytes === "number" && saveUpToBytes >= 0)) {
    throw new RangeError(`clientBody: saveUpToBytes: expected a number of at least 0, got ${shown(saveUpToBytes)}`);
  }
  return { kind: "client", saveUpToBytes };
}

/** What was kept of a client's body. */
export class SavedBody {
  /** As the modules left it; empty once there was too much of it. */
  readonly pieces: Uint8Array[] = [];
  trailers: HeaderFields | undefined = undefined;
  /** More came than was to be kept. */
  truncated = false;
  #ended = false;
  #bytes = 0;
  readonly #maxBytes: number;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The body came to its end, and all of it is here. */
  get isBodyComplete(): boolean {
    return this.#ended && !this.truncated;
  }

  /**
   * The body for another subrequest.
   * @throws ProxyError `InternalError` when it is not complete: half a body would look like all of it.
   */
  toInput(): PresetBody {
    if (this.isBodyComplete) return { kind: "preset", pieces: this.pieces, trailers: this.trailers };
    const why = this.truncated ? `it has more than ${this.#maxBytes} bytes` : "its end has not come";
    throw ProxyError.internal("InternalError", `the saved body is not complete: ${why}`);
  }

  /** @internal */
  add(piece: Uint8Array): void {
    if (this.truncated) return;
    this.#bytes += piece.length;
    if (this.#bytes > this.#maxBytes) {
      this.truncated = true;
      this.pieces.length = 0;
    } else {
      this.pieces.push(piece);
    }
  }

  /** @internal */
  end(trailers: HeaderFields | undefined): void {
    this.#ended = true;
    this.trailers = trailers;
  }
}
