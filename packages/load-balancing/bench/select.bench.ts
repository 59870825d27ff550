// What one request costs in the balancer: `node packages/load-balancing/bench/select.bench.ts`. Nanoseconds per select.
import { strictEqual } from "node:assert";
import { LoadBalancer, type Backend, type BackendInput } from "../src/index.ts";

const ROUNDS = 3_000_000;
const equal = (count: number): BackendInput[] => Array.from({ length: count }, (_, index) => `10.0.0.${index}:80`);

for (const [name, list, down] of [
  ["3 backends", equal(3), 0],
  ["weights 5, 3, 1", [5, 3, 1].map((weight, index) => ({ address: `10.0.0.${index}:80`, weight })), 0],
  ["200 backends", equal(200), 0],
  ["3 backends, 1 down", equal(3), 1],
] as const) {
  const balancer = LoadBalancer.from(list);
  for (const backend of balancer.backends.slice(0, down)) balancer.setEnabled(backend, false);
  const samples = Array.from({ length: 5 }, () => measure(balancer, down)).toSorted((a, b) => a - b);
  console.log(`${name.padEnd(24)} ${(samples[2] as number).toFixed(1)} ns`);
}

function measure(balancer: LoadBalancer, down: number): number {
  const counts = new Map<Backend, number>(balancer.backends.map((backend) => [backend, 0]));
  for (let round = 0; round < 9000; round += 1) {
    const backend = balancer.select();
    counts.set(backend, (counts.get(backend) ?? 0) + 1);
  }
  strictEqual([...counts.values()].filter((count) => count === 0).length, down);
  const start = performance.now();
  let last: Backend | undefined;
  for (let round = 0; round < ROUNDS; round += 1) last = balancer.select();
  const elapsed = performance.now() - start;
  strictEqual(last !== undefined, true);
  return (elapsed * 1e6) / ROUNDS;
}
