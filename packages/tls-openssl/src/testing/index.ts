export {
  certificateAuthority,
  selfSignedCertificate,
  type CertificateAuthority,
  type CertificateOptions,
  type MadeCertificate,
} from "../certificates/make-certificate.ts";
export { tlsProviderContract, type ContractOptions } from "./tls-provider-contract.ts";
