import { tmpdir } from "node:os";
import path from "node:path";
import {
  backgroundService,
  busQuestion,
  busTopic,
  configureLogs,
  CompressionSettings,
  HttpConnector,
  HttpPeer,
  HttpService,
  humanLog,
  LogFile,
  Server,
  ServerBus,
  SubrequestHandle,
  type HttpApp,
} from "@sluice/core";
import { describe, expect, test } from "vitest";

const app: HttpApp = { handleRequest: () => Promise.resolve() };
const service = (): HttpService => new HttpService("web", app);
const file = path.join(tmpdir(), "never-made.log");
const topic = busTopic<string>("test:topic");
const question = busQuestion<string, string>("test:question");

/** What the compiler refuses, without the compiler. */
const any = (value: unknown): never => value as never;

describe("an option that cannot be is refused at once, with what was expected", () => {
  test.each<[what: string, make: () => unknown, message: string]>([
    [
      "Server: a switch",
      () => new Server({}, any({ upgrade: "yes" })),
      'Server: upgrade: expected true or false, got "yes"',
    ],
    [
      "Server: handover",
      () => new Server({}, any({ handover: true })),
      "Server: handover: expected one, such as linuxHandover(), got true",
    ],
    [
      "Server: inherited",
      () => new Server({}, any({ inherited: {} })),
      "Server: inherited: expected a Map of descriptors",
    ],
    ["Server: configuration", () => new Server(any(null)), "configuration: expected a mapping"],
    [
      "Server: configuration, a value",
      () => new Server(any({ daemon: "no" })),
      "configuration: daemon: expected true or false",
    ],
    ["onPhase", () => new Server().onPhase(any("Running")), 'onPhase: expected a function, got "Running"'],
    [
      "onReload",
      () => new Server().onReload(any({ load: () => 1 })),
      "onReload: expected an object with load() and apply(), got an object",
    ],
    [
      "backgroundService",
      () => backgroundService("x", any(undefined)),
      "backgroundService: task: expected an object with run(), got undefined",
    ],
    [
      "backgroundService: a function",
      () =>
        backgroundService(
          "x",
          any(() => 1),
        ),
      "task: expected an object with run(), got a function",
    ],
    [
      "backgroundService: name",
      () => backgroundService(any({ run: () => 1 }), any({})),
      "backgroundService: name: expected a string, got an object",
    ],
    ["HttpService: name", () => new HttpService(any(5), app), "HttpService: name: expected a string, got 5"],
    [
      "HttpService: app",
      () => new HttpService("web", any({})),
      "HttpService: app: expected an object with handleRequest(), got an object",
    ],
    [
      "HttpService: options",
      () => new HttpService("web", app, any(null)),
      "HttpService: expected an object of options, got null",
    ],
    ["HttpService: a name", () => new HttpService("web", app, any({ htp2: {} })), "http1: unknown option htp2"],
    [
      "HttpService: tls",
      () => new HttpService("web", app, any({ tls: true })),
      "HttpService: tls: expected a TLS provider",
    ],
    [
      "listenTcp: ipv6Only",
      () => service().listenTcp("[::1]:0", any({ ipv6Only: "yes" })),
      'listening on [::1]:0: ipv6Only: expected true or false, got "yes"',
    ],
    [
      "listenTcp: reusePort",
      () => service().listenTcp("[::1]:0", any({ reusePort: 1 })),
      "reusePort: expected true or false, got 1",
    ],
    [
      "listenTcp: onBound",
      () => service().listenTcp("[::1]:0", any({ onBound: 1 })),
      "onBound: expected a function, got 1",
    ],
    [
      "listenTcp: backlog",
      () => service().listenTcp("[::1]:0", any({ backlog: "9" })),
      'backlog: expected an integer from 1 to 2147483647, got "9"',
    ],
    ["listenUnix", () => service().listenUnix(any(5)), "invalid Unix socket path 5: expected a path"],
    [
      "LogFile: a name",
      () => new LogFile(file, any({ flushMS: 5 })),
      "LogFile: unknown option flushMS; did you mean flushMs?",
    ],
    [
      "LogFile: a size",
      () => new LogFile(file, any({ maxBytes: "1" })),
      'LogFile: maxBytes: expected a number of at least 0, got "1"',
    ],
    [
      "LogFile: a time",
      () => new LogFile(file, { flushMs: 2 ** 31 }),
      "LogFile: flushMs: expected a number from 0 to 2147483647",
    ],
    ["LogFile: no path", () => new LogFile(any(undefined)), "LogFile: expected the path of a file, got undefined"],
    ["humanLog: a name", () => humanLog(any({ color: true })), "humanLog: unknown option color; did you mean colors?"],
    ["humanLog: colors", () => humanLog(any({ colors: "no" })), 'humanLog: colors: expected true or false, got "no"'],
    ["humanLog: text", () => humanLog(any({ text: "no" })), 'humanLog: text: expected a function, got "no"'],
    ["configureLogs", () => configureLogs(any({ levels: 5 })), "configureLogs: levels: expected a string, got 5"],
    ["busTopic", () => busTopic(any(undefined)), "busTopic: expected a name, got undefined"],
    ["busQuestion", () => busQuestion(""), 'busQuestion: expected a name, got ""'],
    [
      "publish: a name",
      () => new ServerBus().publish(topic, "", any({ retainedAs: "a" })),
      "publish: unknown option retainedAs; did you mean retainAs?",
    ],
    [
      "publish: retainAs",
      () => new ServerBus().publish(topic, "", any({ retainAs: true })),
      "publish: retainAs: expected a string, got true",
    ],
    [
      "subscribe",
      () => new ServerBus().subscribe(topic, any({})),
      "subscribe to test:topic: expected a function, got an object",
    ],
    [
      "answer",
      () => new ServerBus().answer(question, any("yes")),
      'answer to test:question: expected a function, got "yes"',
    ],
    [
      "HttpConnector",
      () => new HttpConnector(any({ maxIdel: 1 })),
      "HttpConnector: unknown option maxIdel; did you mean maxIdle?",
    ],
    [
      "compression",
      () => new CompressionSettings(any({ level: null })),
      "compression: expected one of gzip, br, zstd, dcz, got null",
    ],
    [
      "SubrequestHandle",
      () => new SubrequestHandle(any({ writeMS: 1 })),
      "SubrequestHandle: unknown option writeMS; did you mean writeMs?",
    ],
    [
      "HttpPeer",
      () => new HttpPeer("a:1", any({ readMS: 1 })),
      "HttpPeer: unknown option readMS; did you mean readMs?",
    ],
  ])("%s", (_what, make, message) => {
    expect(make).toThrow(message);
  });

  test.each<[options: unknown, message: string]>([
    [{ timeout: 5 }, "ask: unknown option timeout; did you mean timeoutMs?"],
    [{ timeoutMs: "5" }, 'ask: timeoutMs: expected 0 to 2147483000, got "5"'],
    [null, "ask: expected an object of options, got null"],
  ])("ask: %j", async (options, message) => {
    await expect(new ServerBus().ask(question, "", any(options))).rejects.toThrow(message);
  });
});
