// What counting one request costs: `node packages/limits/bench/count.bench.ts`. Prints nanoseconds and bytes per call.
import { ok, strictEqual } from "node:assert";
import { Estimator, Inflight, proportionalRateEstimate, Rate } from "../src/index.ts";
import { KEYS } from "./keys.ts";
import { measure } from "./measure.ts";

const ROUNDS = 500_000;

for (const [name, keys] of KEYS) {
  const keyOf = (round: number): string | number | Uint8Array => keys[round % keys.length]!;

  const estimator = new Estimator({ hashes: 4, slots: 8192 });
  measure(`Estimator.incr, ${name}`, ROUNDS, (round) => estimator.incr(keyOf(round)));
  let total = 0;
  measure(`Estimator.get, ${name}`, ROUNDS, (round) => (total += estimator.get(keyOf(round))));
  ok(estimator.get(keyOf(0)) >= Math.floor(ROUNDS / keys.length));
  ok(total > 0);

  const inflight = new Inflight();
  measure(`Inflight.incr and release, ${name}`, ROUNDS, (round) => inflight.incr(keyOf(round)).release());
  for (const key of keys) strictEqual(inflight.get(key), 0);

  const rate = new Rate({ intervalMs: 1000 });
  measure(`Rate.observe, ${name}`, ROUNDS, (round) => rate.observe(keyOf(round)));
  const estimate = (round: number): number => rate.rateWith(keyOf(round), proportionalRateEstimate);
  measure(`Rate.rateWith, proportional, ${name}`, ROUNDS, estimate);

  // Two windows later, on a clock of its own: what was counted is what is told.
  let ms = 0;
  const checked = new Rate({ intervalMs: 1000, now: () => ms });
  for (let round = 0; round < 3; round++) checked.observe(keyOf(0));
  ms = 1000;
  strictEqual(checked.rate(keyOf(0)), 3);
  ms = 2000;
  strictEqual(checked.rate(keyOf(0)), 0);
}
