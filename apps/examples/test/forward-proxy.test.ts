import { once } from "node:events";
import { request, type IncomingMessage, type RequestOptions } from "node:http";
import type { Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Example } from "./support/example.ts";
import { Origin } from "./support/origin.ts";

const LOGIN = { "Proxy-Authorization": `Basic ${Buffer.from("me:secret").toString("base64")}` };

beforeEach(() => void vi.stubEnv("FORWARD_PROXY_LOGIN", "me:secret"));
afterEach(() => void vi.unstubAllEnvs());

const portOf = (origin: Origin): string => origin.address.split(":")[1]!;

/** Answers with what it was asked, and whether it was told the login. */
const telling = (): Promise<Origin> =>
  Origin.start(({ method, url, headers }, response) =>
    response.end(`${method} ${url} ${headers.host} ${headers["proxy-authorization"] === undefined}`),
  );

/** Sends a request for `path` to `url`, as it stands. */
async function ask(url: string, path: string, options: RequestOptions = {}): Promise<{ status: number; body: string }> {
  const sent = request(url, { path, agent: false, headers: LOGIN, ...options }).end();
  const [answer] = (await once(sent, "response")) as [IncomingMessage];
  return { status: answer.statusCode!, body: await bodyOf(answer) };
}

/** Asks for a tunnel; the answer to it, and the tunnel if there is one. */
async function connectBy(url: string, target: string, headers = LOGIN): Promise<{ status: number; socket: Socket }> {
  const sent = request(url, { method: "CONNECT", path: target, agent: false, headers }).end();
  const [answer, socket] = (await once(sent, "connect")) as [IncomingMessage, Socket];
  return { status: answer.statusCode!, socket };
}

async function bodyOf(answer: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of answer as AsyncIterable<Buffer>) body += chunk.toString();
  return body;
}

describe("whoever knows the login", () => {
  test("sends plain requests, which do not show it", async () => {
    await using origin = await telling();
    await using example = await Example.start("forward-proxy", "LISTEN", "--allow-private", "--port", portOf(origin));
    const answer = await ask(example.urls[0]!, `http://${origin.address}/path?q`);
    expect(answer).toEqual({ status: 200, body: `GET /path?q ${origin.address} true` });
    expect(await example.stop()).toBe(0);
  });

  test("gets tunnels, to names as well", async () => {
    await using origin = await telling();
    await using example = await Example.start("forward-proxy", "LISTEN", "--allow-private", "--port", portOf(origin));
    for (const host of ["127.0.0.1", "localhost"]) {
      const { status, socket } = await connectBy(example.urls[0]!, `${host}:${portOf(origin)}`);
      expect(status).toBe(200);
      const sent = request({ createConnection: () => socket, headers: { Host: "a.test" }, path: "/inside" }).end();
      const [answer] = (await once(sent, "response")) as [IncomingMessage];
      expect(await bodyOf(answer)).toBe("GET /inside a.test true");
      socket.destroy();
    }
  });
});

describe("nobody", () => {
  test.each([{}, { "Proxy-Authorization": "Basic bWU6d3Jvbmc=" }])("comes in with %o", async (headers) => {
    await using origin = await telling();
    await using example = await Example.start("forward-proxy", "LISTEN", "--allow-private", "--port", portOf(origin));
    const [url] = example.urls as [string];
    expect((await ask(url, `http://${origin.address}/`, { headers })).status).toBe(407);
    expect((await connectBy(url, origin.address, headers as typeof LOGIN)).status).toBe(407);
    expect(origin.requests).toBe(0);
  });

  test("reaches another port than those on the list", async () => {
    await using origin = await telling();
    await using example = await Example.start("forward-proxy", "LISTEN", "--allow-private");
    const [url] = example.urls as [string];
    expect((await ask(url, `http://${origin.address}/`)).status).toBe(403);
    expect((await connectBy(url, origin.address)).status).toBe(403);
    expect(origin.requests).toBe(0);
    expect(await example.line(/is not on the list/)).toContain(`port ${portOf(origin)}`);
  });

  test("reaches an address that is not public, by whatever name", async () => {
    await using origin = await telling();
    const port = portOf(origin);
    await using example = await Example.start("forward-proxy", "LISTEN", "--port", port);
    const [url] = example.urls as [string];
    const own = ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "0.0.0.0", "10.1.2.3", "169.254.169.254", "[::1]"];
    const disguised = [
      "[::127.0.0.1]",
      "[::ffff:127.0.0.1]",
      "[::ffff:0:127.0.0.1]",
      "[64:ff9b::7f00:1]",
      "[2002:7f00:1::]",
    ];
    const others = [
      "192.88.99.1",
      "203.0.113.1",
      "[100::1]",
      "[2001:0:7f00:1::]",
      "[2001:db8::1]",
      "[3fff::1]",
      "[5f00::1]",
    ];
    for (const host of [...own, ...disguised, ...others, "[fd00::1]", "[fe80::1]", "[ff02::1]"]) {
      expect((await connectBy(url, `${host}:${port}`)).status, host).toBe(403);
    }
    expect((await ask(url, `http://localhost:${port}/`)).status).toBe(403);
    expect(origin.requests).toBe(0);
  });
});

test("only http goes without a tunnel", async () => {
  await using origin = await telling();
  await using example = await Example.start("forward-proxy", "LISTEN", "--allow-private", "--port", portOf(origin));
  const [url] = example.urls as [string];
  expect((await ask(url, `https://${origin.address}/`)).status).toBe(400);
  expect((await ask(url, "/", { headers: { ...LOGIN, Host: origin.address } })).status).toBe(400);
  expect(origin.requests).toBe(0);
  expect((await ask(url, `HTTP://${origin.address}/`)).status).toBe(200);
});

test("a name that is none is a bad gateway, and says why", async () => {
  await using example = await Example.start("forward-proxy", "LISTEN");
  expect((await connectBy(example.urls[0]!, "no-such-name.invalid:443")).status).toBe(502);
  expect(await example.line(/looking up/)).toContain("no-such-name.invalid");
});

test("without a login it says how it is used", async () => {
  vi.stubEnv("FORWARD_PROXY_LOGIN", undefined);
  await using example = new Example("forward-proxy", ["127.0.0.1:0"]);
  expect(await example.exited).toBe(2);
  expect(example.lines[0]).toMatch(/^usage: FORWARD_PROXY_LOGIN=/);
});
