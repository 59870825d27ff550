import { opensslTls } from "@sluice/tls-openssl";
import { tlsProviderContract } from "@sluice/tls-openssl/testing";

tlsProviderContract("openssl", () => opensslTls());
