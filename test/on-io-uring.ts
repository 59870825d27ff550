import { setStandardTransport } from "../packages/core/src/net/socket-transport.ts";
import { ioUring } from "../packages/linux/src/index.ts";
import { setStandardNativeTransport } from "../packages/tls-openssl/src/direct/standard-transport.ts";

// For the project "io-uring". Where there is none, its tests run as the others do.
if (process.env["SLUICE_TEST_IO_URING"] !== undefined) {
  try {
    const transport = ioUring();
    setStandardTransport(transport);
    setStandardNativeTransport(transport);
  } catch (error) {
    console.warn(String(error));
  }
}
