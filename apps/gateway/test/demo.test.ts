import { connect } from "node:net";
import { expect, test } from "vitest";
import { GatewayProcess } from "./gateway-process.ts";
import { call } from "./http-call.ts";

const DEMO = "127.0.0.1:6188";

function isTaken(): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(6188, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}

test("the demo shares requests between its origins, outlives one of them, and ends at Ctrl-C", async (context) => {
  // At a desk a demo may be running; in CI nothing may hide that this was not tested.
  context.skip(!process.env["CI"] && (await isTaken()), `${DEMO} is in use`);
  await using demo = new GatewayProcess(["--demo"]);
  await demo.until(() => demo.stdout.includes("Ctrl-C"));
  expect(demo.stdout).toContain(`curl -i http://${DEMO}/`);

  expect(await helloFrom(3)).toEqual(["1", "2", "3"]);
  expect(await call(DEMO, "/echo", { method: "POST", body: "ping" })).toEqual({ status: 200, body: "ping" });
  expect((await call(DEMO, "/bytes/100000")).body).toHaveLength(100_000);
  expect((await call(DEMO, "/bytes/x")).status).toBe(400);
  expect((await call(DEMO, "/demo/stop/2")).status).toBe(405);

  expect(await call(DEMO, "/demo/stop/2", { method: "POST" })).toEqual({ status: 200, body: "origin 2: stopped\n" });
  expect(await helloFrom(6)).toEqual(["1", "3"]);
  await call(DEMO, "/demo/start/2", { method: "POST" });
  await demo.until(async () => (await helloFrom(6)).includes("2"));

  demo.signal("SIGINT");
  expect(await demo.exited).toBe(0);
  expect(demo.requests.length).toBeGreaterThan(15);
  expect(demo.requests.filter(({ status }) => status === 502)).toEqual([]);
});

/** Which origins answered `count` requests. */
async function helloFrom(count: number): Promise<string[]> {
  const origins = new Set<string>();
  for (let round = 0; round < count; round++) {
    const { status, body } = await call(DEMO, "/");
    expect(status).toBe(200);
    origins.add(/^hello from origin (\d)\n$/.exec(body)?.[1] ?? body);
  }
  return [...origins].toSorted();
}
