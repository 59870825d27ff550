import { ProxyError, type KnownErrorType } from "@sluice/error";
import { expect, test } from "vitest";
import { errorHint } from "./error-hint.ts";

test.each<[KnownErrorType, RegExp]>([
  ["InvalidCert", /certificate cannot be trusted/],
  ["TLSHandshakeFailure", /did not say why: does it speak TLS there/],
])("%s of an upstream has a hint, and of a client none", (type, hint) => {
  expect(errorHint(ProxyError.upstream(type, "a name that does not fit"), false)).toMatch(hint);
  expect(errorHint(new ProxyError(type, { source: "downstream" }), false)).toBeUndefined();
});
