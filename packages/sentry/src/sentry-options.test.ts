import { expect, test } from "vitest";
import { resolveSentryOptions } from "./sentry-options.ts";

const DSN = "https://key@sentry.test/1";

test.each<[options: object, message: string]>([
  [{ dsn: "sentry.test" }, "dsn: expected https://KEY@HOST/PROJECT"],
  [{ sampleRates: {} }, "sentryReporter: unknown option sampleRates"],
  [{ sample: 0.5 }, "sample: expected an object of options, got 0.5"],
  [{ sample: { upsteam: 1 } }, "sample: unknown option upsteam; did you mean upstream?"],
  [{ sample: { upstream: "1%" } }, 'sample.upstream: expected a share from 0 to 1, got "1%"'],
  [{ requestFields: "host" }, 'requestFields: expected an array of names, got "host"'],
  [{ requestFields: ["Cookie"] }, "requestFields: cookie holds secrets"],
  [{ queryParameters: "page" }, 'queryParameters: expected an array of names, got "page"'],
  [{ path: "/" }, 'path: expected a function, got "/"'],
  [{ beforeSend: true }, "beforeSend: expected a function, got true"],
  [{ clientAddress: "no" }, 'clientAddress: expected true or false, got "no"'],
  [{ environment: 5 }, "sentryReporter: environment: expected a string, got 5"],
  [{ release: {} }, "sentryReporter: release: expected a string, got an object"],
  [{ serverName: true }, "sentryReporter: serverName: expected a string, got true"],
  [{ proxy: "10.0.0.1:3128" }, "sentryReporter: proxy: expected http://host:port, and got something else"],
  [{ flushMs: "5" }, 'flushMs: expected milliseconds from 1 to 60000, got "5"'],
  [{ maxPerMinute: -1 }, "maxPerMinute: expected a number from 0 to 100000, got -1"],
])("options that cannot be: %j", (options, message) => {
  expect(() => resolveSentryOptions({ dsn: DSN, ...options })).toThrow(message);
});

test("what is not said is the default", () => {
  const { sample, clientAddress, queryParameters } = resolveSentryOptions({ dsn: DSN, sample: { upstream: 0.1 } });
  expect(sample).toEqual({ internal: 1, upstream: 0.1, downstream: 0, unset: 0 });
  expect([clientAddress, queryParameters.size]).toEqual([false, 0]);
});
