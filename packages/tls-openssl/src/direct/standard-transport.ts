import type { NativeTransport } from "./native-transport.ts";

let standard: NativeTransport | undefined;

/** @internal For tests: what is taken where none is given. */
export function setStandardNativeTransport(transport: NativeTransport | undefined): void {
  standard = transport;
}

/** @internal */
export function standardNativeTransport(): NativeTransport | undefined {
  return standard;
}
