export {
  selfSignedCertificate,
  type CertificateOptions,
  type MadeCertificate,
} from "./certificates/make-certificate.ts";
export type { ByteReceiver, NativeCalls, NativeTransport, NativeValue } from "./direct/native-transport.ts";
export { opensslTls, type OpensslTlsOptions } from "./openssl-tls.ts";
export { opensslTlsFor } from "./openssl-tls-for.ts";
