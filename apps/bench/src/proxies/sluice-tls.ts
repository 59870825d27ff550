// Sluice with its hooks on, and TLS for its clients.
import { opensslTls } from "@sluice/tls-openssl";
import { serveSluice } from "../sluice-app.ts";

await serveSluice({ tls: opensslTls() });
