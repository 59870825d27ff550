import type { Socket } from "node:net";
import type { TransportStream } from "@sluice/core";

/** Whoever takes what is read. */
export interface ByteReceiver {
  /** The first `bytes` of `buffer` came. @returns Memory to read into next: `buffer`, unless some of it is kept. */
  received(buffer: Buffer, bytes: number): Buffer;
}

/** What a C function is given and gives. */
export type NativeValue = number | bigint | string | Uint8Array | null | void;

/** Functions of this program that Node.js has no name for, among them those of its OpenSSL. */
export interface NativeCalls {
  define(name: string, result: string, types: readonly string[]): (...values: NativeValue[]) => NativeValue;
  callback(prototype: string, call: (...values: number[]) => NativeValue): number;
}

/** What carries connections, and lets OpenSSL be called: `ioUring()` of `@sluice/linux`. */
export interface NativeTransport {
  adopt(socket: Socket, receiver: ByteReceiver): TransportStream | undefined;
  readonly native: NativeCalls;
}
