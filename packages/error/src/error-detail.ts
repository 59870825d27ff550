/** What a type of error leaves open and somebody decides by: a status, a Proxy-Status error, a hint, who is to blame. */
export type ErrorDetail = keyof typeof ERROR_DETAILS;

/** Every detail with its meaning, for documentation and for tests. */
export const ERROR_DETAILS = {
  "name-lookup": "the name of the upstream could not be turned into an address",
  "name-lookup-timeout": "the name server had no answer for now, or none in time",
  "no-such-socket": "there is no Unix socket at that path",
  "no-permission": "this account may not do that",
  "tls-silent": "it was connected to, and the TLS handshake took too long",
  "http2-silent": "it was connected to, and did not begin to speak HTTP/2 in time",
  "no-stream": "no stream of the HTTP/2 connections was free in time",
  "http2-rules": "a client broke the rules of HTTP/2 on a stream, which was reset for that",
  "not-http": "what came is not HTTP/1 at all",
  "too-large": "it is larger than the limit",
  "unknown-coding": "a transfer coding is not understood",
  "response-body": "it happened in the body of a response, whose head had come whole",
  "content-length": "a body has more bytes than its Content-Length says",
  "cert-name": "a certificate is for other names",
  "cert-expired": "a certificate is valid no more",
  "cert-not-yet-valid": "a certificate is not valid yet",
  "cert-self-signed": "a certificate is signed by itself, and it is not trusted",
  "cert-unknown-issuer": "a certificate was issued by nobody who is trusted",
  "cert-purpose": "a certificate is not for what it is used for",
  "cert-missing": "a certificate that must be shown was not shown",
  "cert-refused": "the other side does not accept a certificate of ours",
  "tls-version": "there is no version of TLS in common",
  "tls-parameters": "there is no cipher, group or signature algorithm in common",
  "tls-alpn": "there is no application protocol in common",
  "unknown-name": "there is no certificate for the name that was asked for",
  "not-tls": "what came is not TLS at all",
  "tls-spoken": "TLS came where plaintext was expected",
  "server-stop": "we ended it ourselves, because the server stops",
} as const;
