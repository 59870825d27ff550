import { SocketAddress } from "@sluice/core";

/** `undefined` when the text is no address. */
export function parseAddress(text: string): SocketAddress | undefined {
  try {
    return SocketAddress.parse(text);
  } catch {
    return undefined;
  }
}
