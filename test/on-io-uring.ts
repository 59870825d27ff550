import { setStandardTransport } from "../packages/core/src/net/socket-transport.ts";
import { ioUring } from "../packages/linux/src/index.ts";

// For the project "io-uring". Where there is none, its tests run as the others do.
if (process.env["SLUICE_TEST_IO_URING"] !== undefined) {
  try {
    setStandardTransport(ioUring());
  } catch (error) {
    console.warn(String(error));
  }
}
