/** What a type of error leaves open and somebody decides by: a status, a Proxy-Status error, a hint, who is to blame. */
export type ErrorDetail = keyof typeof ERROR_DETAILS;

/** Every detail with its meaning, for documentation and for tests. */
export const ERROR_DETAILS = {
  "name-lookup": "the name of the upstream could not be turned into an address",
  "name-lookup-timeout": "the name server had no answer for now, or none in time",
  "not-http": "what came is not HTTP/1 at all",
  "too-large": "it is larger than the limit",
  "unknown-coding": "a transfer coding is not understood",
  "response-body": "it happened in the body of a response, whose head had come whole",
  "server-stop": "we ended it ourselves, because the server stops",
} as const;
