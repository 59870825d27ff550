import { isIP } from "node:net";
import { ProxyError } from "@sluice/error";
import { shown } from "../config/shown.ts";

/** Addresses parsed lately: a peer is often made of the same text for every request. */
const parsed = new Map<string, SocketAddress>();
const MAX_PARSED = 1024;

/**
 * Where something listens: a host and port, or the path of a Unix socket.
 *
 * A host may be a name; it is then resolved by the system at each connect. `text` is the canonical form and identifies
 * the address: `127.0.0.1:80`, `[::1]:80`, `example.org:80`, `unix:/run/app.sock`.
 */
export class SocketAddress {
  readonly text: string;
  /** IP address (IPv6 without brackets) or name; `undefined` for a Unix socket. */
  readonly host: string | undefined;
  /** 0 to 65535; `undefined` for a Unix socket. */
  readonly port: number | undefined;
  /** Path of a Unix socket; `undefined` for a TCP address. */
  readonly path: string | undefined;

  private constructor(host: string | undefined, port: number | undefined, path: string | undefined) {
    this.host = host;
    this.port = port;
    this.path = path;
    if (path !== undefined) this.text = `unix:${path}`;
    else this.text = host?.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  }

  /**
   * @throws ProxyError `ConnectError` when the text is neither `host:port`, `[IPv6]:port` nor `unix:/path`.
   */
  static parse(text: string): SocketAddress {
    let address = parsed.get(text);
    if (address === undefined) {
      address = SocketAddress.#parse(text);
      if (parsed.size >= MAX_PARSED) parsed.clear();
      parsed.set(text, address);
    }
    return address;
  }

  static #parse(text: string): SocketAddress {
    if (typeof text !== "string") {
      const expected = "expected host:port, [IPv6]:port or unix:/path";
      throw ProxyError.internal("ConnectError", `invalid address: ${expected}, got ${shown(text)}`);
    }
    if (text.startsWith("unix:")) return SocketAddress.unix(text.slice("unix:".length));
    const colon = text.lastIndexOf(":");
    let host = text.slice(0, Math.max(colon, 0));
    const digits = text.slice(colon + 1);
    const bracketed = host.startsWith("[") && host.endsWith("]");
    if (bracketed) host = host.slice(1, -1);
    const port = Number(digits);
    const hostOk = bracketed ? isIP(host) === 6 : host !== "" && /^[A-Za-z0-9._-]+$/.test(host);
    if (!hostOk || !/^\d{1,5}$/.test(digits) || port > 65_535) {
      throw ProxyError.internal(
        "ConnectError",
        `invalid address ${JSON.stringify(text)}: expected host:port, [IPv6]:port or unix:/path`,
      );
    }
    return new SocketAddress(host, port, undefined);
  }

  /**
   * Of an IP address, IPv6 without brackets, and a port.
   * @throws ProxyError `ConnectError` for a host that is a name, or a port out of range.
   */
  static ip(host: string, port: number): SocketAddress {
    if (isIP(host) !== 0 && Number.isInteger(port) && port >= 0 && port <= 65_535) {
      return new SocketAddress(host, port, undefined);
    }
    const got = `${JSON.stringify(host)} and ${port}`;
    throw ProxyError.internal("ConnectError", `invalid address ${got}: expected an IP address and a port up to 65535`);
  }

  /** @throws ProxyError `ConnectError` when the path is empty or holds a NUL. */
  static unix(path: string): SocketAddress {
    if (typeof path !== "string" || path === "" || path.includes("\0")) {
      throw ProxyError.internal("ConnectError", `invalid Unix socket path ${shown(path)}: expected a path`);
    }
    return new SocketAddress(undefined, undefined, path);
  }

  toString(): string {
    return this.text;
  }
}
