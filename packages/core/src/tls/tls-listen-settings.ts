import type { Awaitable } from "../modules/awaitable.ts";

/** PEM: its text, or the file that holds it, which is watched. Several certificates may follow each other. */
export type PemSource = string | Uint8Array | { readonly file: string };

/** An OCSP response in DER, for stapling (RFC 6066, section 8): its bytes, or the file that holds it, which is watched. */
export type OcspSource = Uint8Array | { readonly file: string };

/** A protocol version. Older ones are broken (RFC 8996), but some inner networks still need them. */
export type TlsVersion = "1.0" | "1.1" | "1.2" | "1.3";

/** A certificate with its key. */
export interface TlsCertificate {
  /** The chain in PEM, the server's own certificate first. */
  readonly cert: PemSource;
  /** The key of the first certificate, in PEM. */
  readonly key: PemSource;
  /** What the key is encrypted with. Default: it is not. */
  readonly passphrase?: string;
  /** Whom it is for: names such as `example.org` or `*.example.org`. Default: those in the certificate (its DNS SANs). */
  readonly names?: readonly string[];
  /**
   * Sent to clients that ask for it. A function is asked in each such handshake, so it should answer from memory; `undefined`, and an
   * error, which is logged, send none. Default: none is sent.
   */
  readonly ocsp?: OcspSource | (() => Awaitable<Uint8Array | undefined>);
}

/** What {@link TlsListenSettings.resolveCertificate} gives: the text itself, nothing that would have to be read or watched. */
export interface ResolvedCertificate {
  readonly cert: string | Uint8Array;
  readonly key: string | Uint8Array;
  readonly passphrase?: string;
  readonly ocsp?: Uint8Array;
}

/** Certificates of clients. */
export interface ClientCertificates {
  /**
   * - `request`: it is asked for, and whoever has none, or a bad one, is let in; `digest.tls.peerCertificate` says which.
   * - `require`: without one that verifies there is no connection.
   */
  readonly mode: "request" | "require";
  /** Who may have issued them, in PEM; only these are trusted. */
  readonly ca: PemSource;
}

/** How a listener speaks TLS. Provider-neutral; what a provider cannot do is an error at start-up. Times are milliseconds. */
export interface TlsListenSettings {
  /**
   * By the name that a client asks for (SNI): an exact name wins over a wildcard, and that over the default, which is the first and also
   * serves clients that ask for none. Certificates for the same names with keys of different kinds (ECDSA and RSA) stand beside each
   * other: the client takes what it can.
   */
  readonly certificates?: readonly TlsCertificate[];
  /**
   * Asked for names that none of `certificates` is for; `undefined` as the name stands for a client that asks for none. The handshake
   * waits, within `handshakeMs`, and others go on. What is prepared for an object is kept as long as the object is: give the same one
   * for the same certificate. `undefined` takes the default; an error, which is logged, ends the handshake.
   */
  readonly resolveCertificate?: (serverName: string | undefined) => Awaitable<ResolvedCertificate | undefined>;
  /**
   * For a name nobody has a certificate for: `default` takes the first, so that the client says that names do not match, as with
   * nginx and Pingora; `refuse` ends the handshake by the alert `unrecognized_name` (RFC 6066, section 3). Default `default`.
   */
  readonly unknownName?: "default" | "refuse";
  /**
   * How often to look whether files have changed. What changed is taken for handshakes from then on; what cannot be used is logged, and
   * what was there stays. 0: never. Default 5000.
   */
  readonly reloadMs?: number;
  /** Default: clients are not asked for certificates. */
  readonly clientCertificates?: ClientCertificates;
  /** Default `1.2`. */
  readonly minVersion?: TlsVersion;
  /** Default `1.3`. */
  readonly maxVersion?: TlsVersion;
  /** Cipher suites in OpenSSL's notation, ours preferred. Default: the provider's, without what is weak. */
  readonly ciphers?: string;
  /** Key exchange groups, preferred first: `X25519MLKEM768:X25519:P-256`. Default: the provider's. */
  readonly groups?: string;
  /**
   * Protocols to choose from by ALPN (RFC 7301), the preferred first. A client that offers others only is refused by the alert
   * `no_application_protocol`, as the RFC demands; one that offers none gets HTTP/1. Default: `["h2", "http/1.1"]`, all that a service
   * can speak; other names are an error.
   */
  readonly alpn?: readonly string[];
  /**
   * What session tickets are encrypted with: 48 random bytes, or a file that holds them, which is watched. With the same key, sessions
   * go on in other processes and after an upgrade; whoever knows it can read the sessions that were resumed by it under TLS 1.2, so
   * change it daily. Default: random for each process. `false`: no session is resumed.
   */
  readonly ticketKey?: Uint8Array | { readonly file: string } | false;
  /** How long a session can be resumed. Seconds; default 7200. */
  readonly sessionSeconds?: number;
  /** Time for a handshake, from the accepted connection on. 0 waits for ever. Default 60,000, as in Pingora. On expiry: it is cut. */
  readonly handshakeMs?: number;
}

/** The default of {@link TlsListenSettings.handshakeMs}. */
export const DEFAULT_HANDSHAKE_MS = 60_000;
/** The default of {@link TlsListenSettings.reloadMs}. */
export const DEFAULT_RELOAD_MS = 5000;
