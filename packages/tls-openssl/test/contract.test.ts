import { ioUring, type IoUring } from "@sluice/linux";
import { opensslTls } from "@sluice/tls-openssl";
import { tlsProviderContract } from "@sluice/tls-openssl/testing";

tlsProviderContract("openssl", () => opensslTls());

let transport: IoUring | undefined;
try {
  transport = ioUring();
} catch {
  // There is none on this machine.
}
if (transport !== undefined) {
  const native = transport;
  tlsProviderContract("openssl on io_uring", () => opensslTls({ transport: native }));
}
