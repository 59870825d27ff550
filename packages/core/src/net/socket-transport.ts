import type { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { adoptSocket } from "./adopt-socket.ts";
import type { ByteStream } from "./byte-stream.ts";
import { alsoReads } from "./quiet-turn.ts";
import type { SocketReader } from "./socket-reader.ts";

/** A connection that a {@link SocketTransport} carries. */
export type TransportStream = ByteStream & Pick<EventEmitter, "on" | "once" | "off">;

/** Reads and writes connections in another way than Node.js does: `ioUring()` of `@sluice/linux`. */
export interface SocketTransport {
  /**
   * Carries the connection of `socket` from now on: it is open, paused, and nothing of it was read. What comes goes to `reader`, by
   * {@link SocketReader.received}. `undefined`: it cannot, and the socket is as it was.
   */
  adopt(socket: Socket, reader: SocketReader): TransportStream | undefined;
  /** Delivers what has arrived on any of its connections. */
  readArrived(): void;
}

let standard: SocketTransport | undefined;

/** @internal For tests: what is taken where none is given. */
export function setStandardTransport(transport: SocketTransport | undefined): void {
  standard = transport;
}

/** @internal */
export function standardTransport(): SocketTransport | undefined {
  return standard;
}

const METHODS = ["adopt", "readArrived"] as const;

/** @throws TypeError for what is none. */
export function checkTransport(what: string, transport: SocketTransport | undefined): void {
  if (transport === undefined) return;
  for (const method of METHODS) {
    if (typeof transport?.[method] === "function") continue;
    throw new TypeError(`${what}: transport: expected an object with ${method}(), such as ioUring() of @sluice/linux`);
  }
  alsoReads(transport);
}

/**
 * A stream that gives `reader` what comes on `socket`, by `transport` or by Node.js; `undefined` where its bytes can come by `data` events
 * only. The socket is nobody else's afterwards.
 */
export function carry(
  socket: Socket,
  reader: SocketReader,
  transport: SocketTransport | undefined,
): TransportStream | undefined {
  const carried = transport?.adopt(socket, reader);
  if (carried === undefined) return adoptSocket(socket, reader);
  reader.attach(carried);
  return carried;
}
