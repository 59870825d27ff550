// What one request costs in the pool: `node packages/pool/bench/get-put.bench.ts`. Prints nanoseconds per get + put.
import { strictEqual } from "node:assert";
import { ConnectionPool, type PoolableConnection } from "../src/index.ts";

const ROUNDS = 2_000_000;

for (const [name, keys, perKey, idleMs] of [
  ["1 key, 1 connection, no idle limit", 1, 1, undefined],
  ["1 key, 1 connection, 60 s", 1, 1, 60_000],
  ["1 key, 100 connections, 60 s", 1, 100, 60_000],
  ["100 keys, 1 connection each, 60 s", 100, 1, 60_000],
  ["5000 keys, 2 connections each, 60 s", 5000, 2, 60_000],
] as const) {
  const samples = Array.from({ length: 5 }, () => measure(keys, perKey, idleMs)).toSorted((a, b) => a - b);
  console.log(`${name.padEnd(40)} ${(samples[2] as number).toFixed(0)} ns`);
}

function measure(keys: number, perKey: number, idleMs: number | undefined): number {
  const pool = new ConnectionPool<PoolableConnection>({ maxIdle: keys * perKey });
  const names = Array.from({ length: keys }, (_, index) => `https|10.0.${index >> 8}.${index & 255}:443|example.org`);
  for (const name of names) for (let count = 0; count < perKey; count += 1) pool.put(name, connection(), idleMs);
  const start = performance.now();
  for (let round = 0; round < ROUNDS; round += 1) {
    const name = names[round % keys] as string;
    pool.put(name, pool.get(name) as PoolableConnection, idleMs);
  }
  const elapsed = performance.now() - start;
  strictEqual(pool.idleCount, keys * perKey);
  strictEqual(pool.keyCount, keys);
  pool.close();
  return (elapsed * 1e6) / ROUNDS;
}

function connection(): PoolableConnection {
  return { closeIdle: () => undefined, idleState: () => "usable" };
}
