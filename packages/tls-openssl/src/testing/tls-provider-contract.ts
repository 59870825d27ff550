import type { TlsProvider, TlsVersion } from "@sluice/core";
import { describe } from "vitest";
import { acceptContract } from "./contract/accept.ts";
import { certificatesContract } from "./contract/certificates.ts";
import { clientCertificatesContract } from "./contract/client-certificates.ts";
import { connectContract } from "./contract/connect.ts";
import { sessionsContract } from "./contract/sessions.ts";
import { streamsContract } from "./contract/streams.ts";
import { verificationContract } from "./contract/verification.ts";

/** What not every provider can. */
export interface ContractOptions {
  /** Versions that it speaks. Default: 1.2 and 1.3. What concerns others is left out. */
  readonly versions?: readonly TlsVersion[];
}

/**
 * What core expects of a TLS provider, as tests for vitest: whoever writes one calls this in a test file. The other side of each
 * connection is `node:tls`.
 * @param create Makes the provider, with its defaults.
 */
export function tlsProviderContract(name: string, create: () => TlsProvider, options: ContractOptions = {}): void {
  const { versions = ["1.2", "1.3"] } = options;
  describe(`TlsProvider: ${name}`, () => {
    acceptContract(create, versions);
    certificatesContract(create);
    clientCertificatesContract(create, versions);
    sessionsContract(create, versions);
    connectContract(create, versions);
    verificationContract(create);
    streamsContract(create);
  });
}
