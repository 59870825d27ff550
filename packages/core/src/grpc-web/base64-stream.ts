import { Buffer } from "node:buffer";
import { ProxyError } from "@sluice/error";

/** Letters of four to a group. */
const GROUP = 4;

/**
 * Reads base64 that comes in pieces cut anywhere. Each part that its sender encoded by itself may end in padding, so padding can stand
 * in the middle (gRPC-Web protocol, "Text format").
 */
export class Base64Reader {
  /** Less than a group. */
  #rest = "";

  /** @throws ProxyError `HTTPStatus` 400 for what is no base64. */
  read(piece: Uint8Array): Buffer {
    const text = this.#rest + Buffer.from(piece.buffer, piece.byteOffset, piece.length).toString("latin1");
    const whole = text.length - (text.length % GROUP);
    this.#rest = text.slice(whole);
    const parts: Buffer[] = [];
    for (let from = 0; from < whole;) {
      const padding = text.indexOf("=", from);
      // Behind padding another part begins, with the next group.
      const end = padding < 0 || padding >= whole ? whole : padding - (padding % GROUP) + GROUP;
      parts.push(decoded(text.slice(from, end)));
      from = end;
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }

  /** The end has come. @throws ProxyError `HTTPStatus` 400 when it comes within a group. */
  end(): void {
    if (this.#rest !== "") throw noBase64("ends in the middle of a group of four letters");
  }
}

function decoded(text: string): Buffer {
  // Node's decoder skips what it does not know.
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw noBase64("holds a letter that base64 does not have");
  return Buffer.from(text, "base64");
}

function noBase64(what: string): ProxyError {
  const context = `the body of a request of type application/grpc-web-text ${what}`;
  return new ProxyError("HTTPStatus", { source: "downstream", status: 400, context });
}
