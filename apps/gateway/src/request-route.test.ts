import { RequestHeader } from "@sluice/http";
import { expect, test } from "vitest";
import { findRoute } from "./request-route.ts";
import { Router } from "./router.ts";

const router = new Router([
  { host: undefined, pathPrefix: "/", target: "any" },
  { host: "example.org", pathPrefix: "/", target: "org" },
  { host: "example.org", pathPrefix: "/api", target: "api" },
]);

test.each([
  ["/", undefined, "any"],
  ["/api?x=/", "example.org", "api"],
  ["/x?/api", "example.org", "org"],
  ["http://example.org/api?q", "other.net", "api"],
  ["HTTP://EXAMPLE.org:80", "other.net", "org"],
  ["http://example.org?q", "other.net", "org"],
  ["*", "example.org", "org"],
  ["example.org:443", "example.org", undefined],
  ["//example.org/api", "other.net", "any"],
])("%s with Host %s leads to %s", (target, host, expected) => {
  const request = RequestHeader.build("GET", target, host === undefined ? {} : { Host: host });
  expect(findRoute(router, request)).toBe(expected);
});
