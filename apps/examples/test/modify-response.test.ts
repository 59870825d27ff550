import { expect, test } from "vitest";
import { Example } from "./support/example.ts";
import { Origin } from "./support/origin.ts";

const MAX_BYTES = 1000;

/** Answers the path `/TYPE/LENGTH` with `body`: `LENGTH` is `known` or not. */
async function started(body: string): Promise<{ example: Example; url: string } & AsyncDisposable> {
  const stack = new AsyncDisposableStack();
  const origin = stack.use(
    await Origin.start((request, response) => {
      const [, type, length] = request.url!.split("/");
      response.setHeader("Content-Type", `application/${type}; charset=utf-8`).setHeader("ETag", '"1"');
      if (length === "known") response.setHeader("Content-Length", Buffer.byteLength(body));
      const half = body.length / 2;
      response.write(body.slice(0, half));
      response.end(body.slice(half));
    }),
  );
  const example = stack.use(await Example.start("modify-response", "LISTEN", origin.address, `${MAX_BYTES}`));
  return { example, url: example.urls[0]!, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test.for(["known", "unknown"])("JSON becomes YAML; its length was %s", async (length) => {
  await using given = await started(JSON.stringify({ name: "Grüße", list: [1, 2] }));
  const response = await fetch(`${given.url}/json/${length}`);
  expect(await response.text()).toBe("name: Grüße\nlist:\n  - 1\n  - 2\n");
  const { headers } = response;
  expect(headers.get("content-type")).toBe("application/yaml");
  expect([headers.get("content-length"), headers.get("transfer-encoding"), headers.get("etag")]).toEqual([
    null,
    "chunked",
    null,
  ]);
  expect((await fetch(`${given.url}/json/${length}`, { method: "HEAD" })).headers.get("content-length")).toBeNull();
  expect(await given.example.stop()).toBe(0);
});

test("what is no JSON stays as it is", async () => {
  await using given = await started('{"a": 1}');
  const response = await fetch(`${given.url}/xml/known`);
  expect([response.headers.get("content-length"), response.headers.get("etag")]).toEqual(["8", '"1"']);
  expect(await response.text()).toBe('{"a": 1}');
});

test("a body that says that it is too large stays as it is", async () => {
  const body = JSON.stringify("x".repeat(MAX_BYTES));
  await using given = await started(body);
  const response = await fetch(`${given.url}/json/known`);
  expect(response.headers.get("content-type")).toContain("application/json");
  expect(await response.text()).toBe(body);
});

test.for([
  ["turns out to be too large", JSON.stringify("x".repeat(MAX_BYTES)), "a JSON body of more than 1000 bytes"],
  ["cannot be read", '{"a": ', "JSON"],
] as const)("a body that %s is not taken for whole, and the log says why", async ([, body, why]) => {
  await using given = await started(body);
  await expect(fetch(`${given.url}/json/unknown`).then((response) => response.text())).rejects.toThrow(
    /terminated|fetch failed/,
  );
  await given.example.line(/"level":50/);
  expect(JSON.stringify(given.example.log)).toContain(why);
});
