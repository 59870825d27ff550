import { logger, type TlsListenSettings } from "@sluice/core";
import { ProxyError } from "@sluice/error";
import type { SecureContext } from "node:tls";
import type { ServerContext, ServerContexts } from "./server-contexts.ts";

const log = logger("tls-openssl");

/**
 * The certificate for a client that asks for `name`; `undefined`: there is none, and it is to be refused.
 * Rejects with a ProxyError of source internal when `resolveCertificate` fails.
 */
export async function chooseContext(
  settings: TlsListenSettings,
  contexts: ServerContexts,
  name: string | undefined,
): Promise<ServerContext | undefined> {
  const context = name === undefined ? undefined : contexts.names.find(name);
  if (context !== undefined) return context;
  return (await resolve(settings, contexts, name)) ?? defaultFor(settings, contexts, name);
}

async function resolve(
  { resolveCertificate }: TlsListenSettings,
  contexts: ServerContexts,
  name: string | undefined,
): Promise<ServerContext | undefined> {
  if (resolveCertificate === undefined) return undefined;
  try {
    const certificate = await resolveCertificate(name);
    return certificate === undefined ? undefined : contexts.resolved(certificate);
  } catch (cause) {
    throw ProxyError.internal(
      "InternalError",
      `resolveCertificate failed for ${name ?? "a client without a name"}`,
      cause,
    );
  }
}

function defaultFor(
  { certificates = [], unknownName }: TlsListenSettings,
  contexts: ServerContexts,
  name: string | undefined,
): ServerContext | undefined {
  if (certificates.length === 0) return undefined;
  return name !== undefined && unknownName === "refuse" ? undefined : contexts.default;
}

/** What the names of signature algorithms begin with, by kinds of keys. */
const SIGNED_BY: Readonly<Record<string, RegExp>> = {
  ec: /^ecdsa/i,
  rsa: /^rsa/i,
  "rsa-pss": /^rsa-pss/i,
  ed25519: /^ed25519/i,
  ed448: /^ed448/i,
};

/**
 * What Node.js is to take up amid a handshake: with a single certificate, the one that the client can verify.
 * @param algorithms Those for signatures that both sides have, the preferred first. None: a client that does not say.
 */
export function contextFor({ secure, single }: ServerContext, algorithms: readonly string[]): SecureContext {
  for (const algorithm of algorithms) {
    const fits = single.find(({ keyType }) => SIGNED_BY[keyType ?? ""]?.test(algorithm));
    if (fits !== undefined) return fits.secure;
  }
  return secure;
}

/** What is stapled; a function that fails is logged, and nothing is. */
export async function ocspResponse({ ocsp }: ServerContext): Promise<Uint8Array | undefined> {
  if (typeof ocsp !== "function") return ocsp;
  try {
    const response: unknown = await ocsp();
    if (response === undefined || response instanceof Uint8Array) return response;
    throw new TypeError(`expected bytes or undefined, got ${typeof response}`);
  } catch (err) {
    log.error({ err }, "there is no OCSP response to staple: its function failed");
    return undefined;
  }
}
