import { expect, test } from "vitest";
import { Example } from "./support/example.ts";
import { Origin } from "./support/origin.ts";

interface Gateway extends AsyncDisposable {
  readonly example: Example;
  readonly url: string;
  readonly metrics: string;
  readonly main: Origin;
  /** Resolves when `main` got a request for /slow, which it never answers. */
  readonly slow: Promise<void>;
}

/** The example between a client and two upstreams. */
async function started(): Promise<Gateway> {
  const stack = new AsyncDisposableStack();
  const slow = Promise.withResolvers<void>();
  const main = stack.use(
    await Origin.start((request, response) => {
      response.setHeader("Alt-Svc", 'h3=":443"').setHeader("Server", "Origin");
      if (request.url === "/slow") slow.resolve();
      else response.end("main");
    }),
  );
  const family = stack.use(await Origin.start("family"));
  const example = stack.use(await Example.start("gateway", "LISTEN", main.address, family.address, "LISTEN"));
  const [url, metrics] = example.urls as [string, string];
  return { example, url, metrics, main, slow: slow.promise, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

async function ask(url: string, headers: Record<string, string> = {}): Promise<[status: number, body: string]> {
  const response = await fetch(url, { headers });
  return [response.status, await response.text()];
}

test("/login needs the password, and the upstream does not see who lacks it", async () => {
  await using gateway = await started();
  const { url, main, example } = gateway;
  expect(await ask(`${url}/login`)).toEqual([403, "no way!"]);
  expect(await ask(`${url}/login/now`, { Authorization: "guess" })).toEqual([403, "no way!"]);
  expect(main.requests).toBe(0);
  expect(await ask(`${url}/login`, { Authorization: "password" })).toEqual([200, "main"]);
  expect(main.requests).toBe(1);
  expect(await example.stop()).toBe(0);
});

test("paths choose the upstream, and answers are edited", async () => {
  await using gateway = await started();
  const { url } = gateway;
  expect(await ask(`${url}/family/photos`)).toEqual([200, "family"]);
  expect(await ask(`${url}/`)).toEqual([200, "main"]);
  const { headers } = await fetch(url);
  expect([headers.get("server"), headers.get("alt-svc")]).toEqual(["MyGateway", null]);
});

test("every request is logged and counted, also those without an answer", async () => {
  await using gateway = await started();
  const { url, metrics, example, slow } = gateway;
  await ask(`${url}/login`);
  await ask(`${url}/`);
  const leave = new AbortController();
  const asked = fetch(`${url}/slow`, { signal: leave.signal });
  await slow;
  leave.abort();
  await expect(asked).rejects.toThrow("aborted");
  await example.line(/"target":"\/slow".*"msg":"request"/);
  const records = example.log.filter(({ msg }) => msg === "request");
  expect(records.map(({ method, target, status }) => [method, target, status])).toEqual([
    ["GET", "/login", 403],
    ["GET", "/", 200],
    ["GET", "/slow", 0],
  ]);
  expect(await ask(`${metrics}/metrics`)).toEqual([200, "# TYPE req_counter counter\nreq_counter 3\n"]);
});
