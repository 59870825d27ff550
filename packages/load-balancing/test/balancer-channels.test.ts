import { EventLog } from "@sluice/core/testing";
import { balancerChannels, LoadBalancer, type HealthCheck } from "@sluice/load-balancing";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { captureLogs } from "./captured-logs.ts";

let log: EventLog;

beforeEach(() => {
  captureLogs();
  log = new EventLog(...Object.values(balancerChannels));
});

afterEach(() => log[Symbol.dispose]());

const down = new Error("is down");

test("each check is told, with what it says and what the backend counts as", async () => {
  let well = false;
  const healthCheck: HealthCheck = {
    check: () => (well ? Promise.resolve() : Promise.reject(down)),
    consecutiveFailure: 2,
  };
  const balancer = LoadBalancer.from(["127.0.0.1:1"], { name: "origins", healthCheck });
  await balancer.checkHealth();
  await balancer.checkHealth();
  well = true;
  await balancer.checkHealth();
  const [backend] = balancer.backends;
  const always = { balancer, backend, checkMs: expect.any(Number) as number };
  expect(log.messages("checked")).toStrictEqual([
    { ...always, success: false, healthy: true, changed: false, error: down },
    { ...always, success: false, healthy: false, changed: true, error: down },
    { ...always, success: true, healthy: true, changed: true, error: undefined },
  ]);
  expect(balancer.name).toBe("origins");
});

test("an update is told, and one that fails with its error", async () => {
  const discover = vi.fn<() => Promise<{ backends: string[] }>>();
  const balancer = new LoadBalancer({ discovery: { discover } });
  discover.mockResolvedValueOnce({ backends: ["127.0.0.1:1"] }).mockRejectedValueOnce(down);
  await balancer.update();
  await expect(balancer.update()).rejects.toBe(down);
  expect(log.events).toStrictEqual([
    { channel: "sluice:balancer:updated", message: { balancer, backends: balancer.backends } },
    { channel: "sluice:balancer:update-failed", message: { balancer, error: down } },
  ]);
  expect(balancer.backends).toHaveLength(1);
});

test("a balancer that is out of use is told, and still selects", () => {
  const balancer = LoadBalancer.from(["127.0.0.1:1"]);
  balancer.retire();
  expect(log.events).toStrictEqual([{ channel: "sluice:balancer:retired", message: { balancer } }]);
  expect(balancer.select().address.text).toBe("127.0.0.1:1");
});

test("without listeners nothing is published", async () => {
  log[Symbol.dispose]();
  const publish = Object.values(balancerChannels).map((channel) => vi.spyOn(channel, "publish"));
  const balancer = LoadBalancer.from(["127.0.0.1:1"], { healthCheck: { check: () => Promise.reject(down) } });
  await balancer.checkHealth();
  await balancer.update();
  balancer.retire();
  expect(publish.flatMap(({ mock }) => mock.calls)).toEqual([]);
  expect(balancer.name).toBe("load balancer");
});
