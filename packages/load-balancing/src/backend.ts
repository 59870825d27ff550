import { checkOptionNames, shown, SocketAddress } from "@sluice/core";

/** What a {@link Backend} may be made from: `"127.0.0.1:80"`, `"unix:/run/app.sock"`, or an object with more. */
export type BackendInput = string | SocketAddress | BackendOptions;

export interface BackendOptions {
  /** As text, in the forms of `SocketAddress.parse`. A name is resolved by the system at each connect. */
  address: string | SocketAddress;
  /**
   * Share of the requests relative to the other backends: a positive integer, default 1. 0 is refused; to take a
   * backend out of service, use `setEnabled` or the flags of the discovery.
   */
  weight?: number;
  /** Anything you want to find again when the backend is selected. */
  ext?: unknown;
}

/**
 * One server that requests may go to.
 *
 * The address alone is its identity: with another weight it is the same backend and keeps its health (in Pingora the
 * weight belongs to the identity, and a change of it forgets that a server is down).
 */
export class Backend {
  readonly address: SocketAddress;
  readonly weight: number;
  readonly ext: unknown;

  /**
   * @throws ProxyError `ConnectError` when the address cannot be read.
   * @throws RangeError when the weight is not a positive integer, TypeError when there is no address, and for an option that is not
   * known: what is your own goes into `ext`.
   */
  constructor(options: BackendOptions) {
    checkOptionNames("backend", options, ["address", "weight", "ext"]);
    const { address, weight = 1, ext } = options;
    if (typeof address !== "string" && !(address instanceof SocketAddress)) {
      throw new TypeError(`backend: address: expected host:port, [IPv6]:port or unix:/path, got ${shown(address)}`);
    }
    this.address = typeof address === "string" ? SocketAddress.parse(address) : address;
    this.weight = weight;
    this.ext = ext;
    if (!Number.isSafeInteger(weight) || weight < 1) {
      throw new RangeError(
        `backend ${this.address.text}: weight: expected a positive integer, got ${shown(weight)}; ` +
          `to send it nothing, leave it out or disable it`,
      );
    }
  }

  /** A backend as it is, anything else by the constructor; throws as that does. */
  static from(input: BackendInput): Backend {
    if (input instanceof Backend) return input;
    return new Backend(typeof input === "string" || input instanceof SocketAddress ? { address: input } : input);
  }

  /** The address; what logs and messages show. */
  toString(): string {
    return this.address.text;
  }
}
