import { parseYamlConfig } from "@sluice/core";
import { describe, expect, test } from "vitest";
import { gatewayConfSchema, type GatewayConf } from "./gateway-conf.ts";

/** @param listener Further keys of the listener. @param upstream Those of the upstream. */
function parse({ listener = "", upstream = "" }: { listener?: string; upstream?: string }): GatewayConf {
  const yaml = `listeners:
  - address: 127.0.0.1:0
    ${listener}
upstreams:
  a:
    servers: [127.0.0.1:1]
    ${upstream}
routes: [{ upstream: a }]
`;
  return parseYamlConfig(yaml, gatewayConfSchema, "g.yaml");
}

test("the defaults of a listener with TLS", () => {
  const { listeners, h2c } = parse({ listener: "tls: { certificates: [{ cert: c.pem, key: k.pem }] }" });
  expect(listeners[0]?.tls).toEqual({ certificates: [{ cert: "c.pem", key: "k.pem" }], http2: true });
  expect(h2c).toBe(false);
});

test("the defaults of an upstream with TLS", () => {
  expect(parse({ upstream: "tls: true" }).upstreams["a"]).toMatchObject({ tls: { verify: true }, http: "1.1" });
  expect(parse({ upstream: "tls: { sni: a.test }" }).upstreams["a"]?.tls).toEqual({ sni: "a.test", verify: true });
});

test.each([
  ["http: 2", "2"],
  ['http: "2"', "2"],
  ["http: 1.1", "1.1"],
  ["http: negotiate", "negotiate"],
])("versions may be numbers: %s", (key, http) => {
  const tls = "tls: { certificates: [{ cert: c, key: k }], min_version: 1.3 }";
  const conf = parse({ listener: tls, upstream: `tls: true\n    ${key}` });
  expect([conf.upstreams["a"]?.http, conf.listeners[0]?.tls?.min_version]).toEqual([http, "1.3"]);
});

describe("a problem of a listener names file, line and key", () => {
  test.each([
    ["tls: true", "g.yaml:3:10: listeners[0].tls: expected a mapping, got true"],
    ["tls: {}", "g.yaml:3:5: listeners[0].tls.certificates: missing; expected a list"],
    [
      "tls: { certificates: [] }",
      "listeners[0].tls.certificates: expected at least one certificate, got an empty list",
    ],
    ["tls: { certificates: [{ cert: c }] }", "g.yaml:3:27: listeners[0].tls.certificates[0].key: missing"],
    ["tls: { certificates: [{ cert: '', key: k }] }", "certificates[0].cert: expected the path of a file"],
    [
      "tls: { certificates: [{ cert: c, key: k, nams: [x] }] }",
      "certificates[0].nams: unknown key; did you mean names?",
    ],
    [
      "tls: { certificates: [{ cert: c, key: k, names: ['a.*.b'] }] }",
      'g.yaml:3:54: listeners[0].tls.certificates[0].names[0]: expected a host name or *.name, without a port, got "a.*.b"',
    ],
    [
      "tls: { certificates: [{ cert: c, key: k }], min_version: 1.1 }",
      "g.yaml:3:62: listeners[0].tls.min_version: expected 1.2 or 1.3, got 1.1",
    ],
    [
      "tls: { certificates: [{ cert: c, key: k }], client_certificates: { mode: maybe, ca: x } }",
      'listeners[0].tls.client_certificates.mode: expected one of request, require, got "maybe"',
    ],
    [
      "tls: { certificates: [{ cert: c, key: k }], client_certificates: { mode: require } }",
      "listeners[0].tls.client_certificates.ca: missing; expected a string",
    ],
  ])("%s", (listener, line) => {
    expect(() => parse({ listener })).toThrow(line);
  });
});

describe("a problem of an upstream names file, line and key", () => {
  test.each([
    ["tls: false", "g.yaml:7:10: upstreams.a.tls: expected true or a mapping, got false"],
    ["tls: { sin: x }", "g.yaml:7:12: upstreams.a.tls.sin: unknown key; did you mean sni?"],
    ["tls: { sni: a b }", 'g.yaml:7:17: upstreams.a.tls.sni: expected a host name, got "a b"'],
    ["tls: { sni: '*.a.test' }", 'upstreams.a.tls.sni: expected a host name, got "*.a.test"'],
    ["tls: { verify: 1 }", "upstreams.a.tls.verify: expected true or false, got 1"],
    ["tls: { client_certificate: { cert: x } }", "upstreams.a.tls.client_certificate.key: missing; expected a string"],
    ["http: 3", "g.yaml:7:11: upstreams.a.http: expected 1.1, 2 or negotiate, got 3"],
    ["http: negotiate", "g.yaml:7:11: upstreams.a.http: negotiate needs tls"],
  ])("%s", (upstream, line) => {
    expect(() => parse({ upstream })).toThrow(line);
  });
});
