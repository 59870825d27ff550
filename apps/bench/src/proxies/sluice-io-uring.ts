// Sluice with its hooks on, TLS where it is asked for, and all connections without TLS carried by io_uring.
import { ioUring } from "@sluice/linux";
import { opensslTls } from "@sluice/tls-openssl";
import { serveSluice } from "../sluice-app.ts";

const transport = ioUring();
await serveSluice({ transport, tls: opensslTls({ transport }) });
