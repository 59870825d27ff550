export {
  certificateAuthority,
  selfSignedCertificate,
  type CertificateAuthority,
  type CertificateOptions,
  type MadeCertificate,
} from "../certificates/make-certificate.ts";
