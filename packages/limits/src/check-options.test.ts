import { expect, test } from "vitest";
import { Estimator } from "./estimator.ts";
import { Inflight } from "./inflight.ts";
import { Rate } from "./rate.ts";

test.each<[make: (options: never) => unknown, options: unknown, message: string]>([
  [(options) => new Inflight(options), { slot: 1 }, "Inflight: unknown option slot; expected one of hashes, slots"],
  [(options) => new Inflight(options), null, "Inflight: expected an object of options, got null"],
  [(options) => new Inflight(options), 8192, "Inflight: expected an object of options, got 8192"],
  [(options) => new Estimator(options), { hash: 1 }, "Estimator: unknown option hash; expected one of hashes, slots"],
  [(options) => new Estimator(options), undefined, "Estimator: expected an object of options, got undefined"],
  [
    (options) => new Rate(options),
    { intervalMs: 1000, window: 1 },
    "Rate: unknown option window; expected one of intervalMs, hashes, slots, now",
  ],
  [(options) => new Rate(options), [1000], "Rate: expected an object of options, got 1000"],
])("options that cannot be: %# %j", (make, options, message) => {
  expect(() => make(options as never)).toThrow(message);
});
