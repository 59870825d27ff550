import { describe, expect, test } from "vitest";
import { Router, type Route } from "./router.ts";

/** Each route's target is its own text. */
function routes(...texts: string[]): Router<string> {
  return new Router(
    texts.map((text): Route<string> => {
      const slash = text.indexOf("/");
      return { host: text.slice(0, slash) || undefined, pathPrefix: text.slice(slash), target: text };
    }),
  );
}

const router = routes(
  "/",
  "/api",
  "/api/v2",
  "example.org/",
  "example.org/api",
  "*.example.org/",
  "*.eu.example.org/api",
  "only.org/x",
  "[::1]/",
);

describe("the most specific route wins, whatever the order", () => {
  test.each([
    [undefined, "/", "/"],
    [undefined, "/other", "/"],
    [undefined, "/api", "/api"],
    [undefined, "/api/", "/api"],
    [undefined, "/api/v2/x", "/api/v2"],
    [undefined, "/api/v22", "/api"],
    [undefined, "/apix", "/"],
    [undefined, "/API", "/"],
    ["nobody.net", "/api", "/api"],
    ["example.org", "/x", "example.org/"],
    ["example.org", "/api/v2", "example.org/api"],
    ["a.example.org", "/api", "*.example.org/"],
    ["a.b.example.org", "/", "*.example.org/"],
    ["a.eu.example.org", "/api/x", "*.eu.example.org/api"],
    // A more specific host without a route for the path passes on to the next.
    ["a.eu.example.org", "/x", "*.example.org/"],
    ["only.org", "/x/y", "only.org/x"],
    ["only.org", "/y", "/"],
    ["notexample.org", "/", "/"],
    [".example.org", "/", "/"],
  ])("%s %s leads to %s", (host, path, target) => {
    expect(router.find(host, path)).toBe(target);
    expect(routes("*.example.org/", "/", "example.org/").find("example.org", "/")).toBe("example.org/");
  });
});

test.each(["EXAMPLE.org", "example.org:80", "example.org.", "Example.Org.:8080"])("%s is example.org", (host) => {
  expect(router.find(host, "/")).toBe("example.org/");
});

test.each(["[::1]", "[::1]:80"])("%s is an address in brackets", (host) => {
  expect(router.find(host, "/")).toBe("[::1]/");
});

test.each(["", ":", ".", "..", "[", "[::1", "a..b", "...".repeat(3000)])(
  "a host %j that is none fits no name",
  (host) => {
    expect(router.find(host, "/")).toBe("/");
    expect(routes("example.org/", "*.example.org/").find(host, "/")).toBeUndefined();
  },
);

test("nothing fits", () => {
  expect(routes().find("example.org", "/")).toBeUndefined();
  expect(routes("/api").find("example.org", "/")).toBeUndefined();
});
