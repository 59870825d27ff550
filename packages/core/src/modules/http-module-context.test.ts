import { ProxyError } from "@sluice/error";
import { HeaderFields, RequestHeader, ResponseHeader } from "@sluice/http";
import { describe, expect, onTestFinished, test } from "vitest";
import { configureLogs } from "../log/logger.ts";
import { isPromise, type Awaitable } from "./awaitable.ts";
import type { HttpModuleContext, ResponseEnd } from "./http-module-context.ts";
import type { HttpModule, HttpModuleBuilder, HttpModuleExchange } from "./http-module.ts";
import { HttpModules } from "./http-modules.ts";

const request = RequestHeader.build("GET", "/", { Host: "example.org" });

/** A request with a module for each of `hooks`. */
function contextOf(...hooks: HttpModule[]): HttpModuleContext {
  const modules = new HttpModules();
  for (const each of hooks) modules.add(builderOf(each));
  return modules.open(request);
}

/** A module class of its own at each call. */
function builderOf(hooks: HttpModule): HttpModuleBuilder {
  class Made implements HttpModule {
    close(): void {
      hooks.close?.();
    }
  }
  return { type: Made, init: () => Object.assign(new Made(), hooks) };
}

class Other implements HttpModule {
  closed = false;
  close(): void {
    this.closed = true;
  }
}

const bytes = (text: string): Uint8Array => Buffer.from(text);
const text = (given: Uint8Array | undefined): string | undefined => given && Buffer.from(given).toString();

/** What was given at once; a promise is a failure. */
function now<T>(given: Awaitable<T>): T {
  if (isPromise(given)) throw new Error("a promise was given where no module waits");
  return given;
}

describe("bodies", () => {
  const append = (mark: string): HttpModule => ({ responseBody: (piece) => piece && bytes(text(piece)! + mark) });

  test("each module sees what the one before gave; nothing given passes on", () => {
    const context = contextOf(append("1"), { responseBody: () => undefined }, append("2"));
    expect(text(now(context.responseBody(bytes("a"))))).toBe("a12");
  });

  test("an empty array swallows, and modules after it still see the piece", () => {
    const context = contextOf({ requestBody: () => new Uint8Array(0) });
    expect(text(now(context.requestBody(bytes("a"))))).toBe("");
  });

  test("waits for what gives a promise, and for nothing else", async () => {
    const context = contextOf(append("1"), { responseBody: async (piece) => piece }, append("2"));
    const given = context.responseBody(bytes("a"));
    expect(isPromise(given)).toBe(true);
    expect(text(await given)).toBe("a12");
  });

  test("what is no array of bytes is an error that names the module and the hook", () => {
    class Texts implements HttpModule {
      responseBody(): Uint8Array {
        return "text" as never;
      }
    }
    const context = new HttpModules().add({ type: Texts, init: () => new Texts() }).open(request);
    expect(() => context.responseBody(bytes("a"))).toThrow(
      "module Texts, responseBody cause: expected a Uint8Array or nothing, got string",
    );
  });

  test("the end of a request body comes once, then its trailers", () => {
    const seen: unknown[] = [];
    const context = contextOf({
      requestBody: (piece, end) => void seen.push([text(piece), end]),
      requestTrailers: (trailers) => void seen.push(trailers.get("sum")),
    });
    now(context.requestBody(bytes("a")));
    expect(now(context.requestEnd(HeaderFields.from({ sum: "1" })))).toBeUndefined();
    expect(seen).toEqual([["a", false], [undefined, true], "1"]);
  });
});

describe("the end of a response", () => {
  const ended = ({ body, trailers }: ResponseEnd): unknown => ({ body: text(body), trailers: trailers?.get("sum") });

  test("trailers pass when nobody gives bytes for them", () => {
    const context = contextOf({ responseTrailers: (trailers) => void trailers.set("sum", "2") });
    expect(ended(now(context.responseEnd(HeaderFields.from({ sum: "1" }))))).toEqual({
      body: undefined,
      trailers: "2",
    });
  });

  test("bytes for the trailers replace them, for later modules too", () => {
    let saw = false;
    const context = contextOf(
      { responseTrailers: () => bytes("frame") },
      { responseTrailers: () => void (saw = true) },
    );
    expect(ended(now(context.responseEnd(HeaderFields.from({ sum: "1" }))))).toEqual({
      body: "frame",
      trailers: undefined,
    });
    expect(saw).toBe(false);
  });

  test("what several modules add is joined in the order of their run", () => {
    const context = contextOf(
      {
        responseBody: (_, end) => (end ? bytes("a") : undefined),
        responseTrailers: () => bytes("b"),
        responseDone: () => bytes("c"),
      },
      { responseDone: async () => bytes("d") },
      { responseDone: () => new Uint8Array(0) },
    );
    return expect(Promise.resolve(context.responseEnd(HeaderFields.from({ sum: "1" }))).then(ended)).resolves.toEqual({
      body: "abcd",
      trailers: undefined,
    });
  });

  test("what a module adds is a piece of body for those after it, before their end", () => {
    const seen: unknown[] = [];
    const context = contextOf(
      { responseDone: () => bytes("tail") },
      {
        responseBody: (piece, end) => {
          seen.push([text(piece), end]);
          return end ? bytes("!") : bytes(text(piece)!.toUpperCase());
        },
      },
    );
    expect(ended(now(context.responseEnd(undefined)))).toEqual({ body: "TAIL!", trailers: undefined });
    expect(seen).toEqual([
      ["tail", false],
      [undefined, true],
    ]);
  });

  test("without a hook for the end nothing is added", () => {
    expect(ended(now(contextOf({}).responseEnd(undefined)))).toEqual({ body: undefined, trailers: undefined });
  });
});

describe("flushing", () => {
  test("what is kept back passes through later modules", () => {
    const context = contextOf(
      { responseFlush: () => bytes("kept") },
      { responseBody: (piece) => piece && bytes(text(piece)!.toUpperCase()), responseFlush: () => bytes("+") },
    );
    expect(text(now(context.flushResponse()))).toBe("KEPT+");
  });

  test("is asked for only between the head and the end", () => {
    let exchange: HttpModuleExchange;
    class Keeps implements HttpModule {
      responseFlush(): Uint8Array {
        return bytes("late");
      }
    }
    const keeps = { type: Keeps, init: (given: HttpModuleExchange) => ((exchange = given), new Keeps()) };
    const context = new HttpModules().add(keeps).open(request);
    let asked = 0;
    context.onFlushWanted = () => void asked++;
    exchange!.wantFlush();
    expect(asked).toBe(0);
    now(context.responseHeader(ResponseHeader.build(200), false));
    exchange!.wantFlush();
    expect(asked).toBe(1);
    now(context.responseEnd(undefined));
    exchange!.wantFlush();
    expect(asked).toBe(1);
    expect(now(context.flushResponse())).toBeUndefined();
  });
});

describe("failures", () => {
  test("the first error ends the run", () => {
    let ran = false;
    const context = contextOf(
      {
        requestHeader: () => {
          throw ProxyError.httpStatus(418, "tea");
        },
      },
      { requestHeader: () => void (ran = true) },
    );
    expect(() => context.requestHeader()).toThrow(expect.objectContaining({ type: "HTTPStatus", status: 418 }));
    expect(ran).toBe(false);
  });

  test("a promise that fails does, too, and names module and hook", async () => {
    class Broken implements HttpModule {
      async responseHeader(): Promise<void> {
        throw new Error("oops");
      }
    }
    const context = new HttpModules().add({ type: Broken, init: () => new Broken() }).open(request);
    await expect(context.responseHeader(ResponseHeader.build(200), true)).rejects.toThrow(
      "Internal InternalError context: module Broken, responseHeader cause: oops",
    );
    expect(context.responseBegun).toBe(false);
  });

  test("a field that cannot be is an InvalidHTTPHeader", () => {
    const context = contextOf({ responseHeader: (head) => void head.set("a b", "c") });
    expect(() => context.responseHeader(ResponseHeader.build(200), true)).toThrow(
      expect.objectContaining({ type: "InvalidHTTPHeader" }),
    );
  });
});

describe("close", () => {
  test("reaches every module that was made, once, also after one that throws", () => {
    const lines: string[] = [];
    configureLogs({ levels: "error", destination: { write: (line) => void lines.push(line) } });
    onTestFinished(() => configureLogs({}));
    const closed: string[] = [];
    const context = contextOf(
      {
        close: () => {
          closed.push("a");
          throw new Error("oops");
        },
      },
      { close: () => void closed.push("b") },
    );
    context.close();
    context.close();
    expect(closed).toEqual(["a", "b"]);
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0]!)).toMatchObject({ msg: "module Made failed to close", err: { message: "oops" } });
  });

  test("nothing runs afterwards, nor what still waited", async () => {
    const waiting = Promise.withResolvers<Uint8Array>();
    let ran = 0;
    const context = contextOf({ responseBody: () => waiting.promise }, { responseBody: () => void ran++ });
    const given = context.responseBody(bytes("a"));
    context.close();
    waiting.resolve(bytes("b"));
    expect(text(await given)).toBe("b");
    now(context.responseBody(bytes("c")));
    expect(ran).toBe(0);
  });

  test("no module is made afterwards", () => {
    const modules = new HttpModules().add({ type: Other, onDemand: true, init: () => new Other() });
    const context = modules.open(request);
    context.close();
    expect(context.get(Other)).toBeUndefined();
  });
});

test("tells whether bodies concern a module", () => {
  expect(contextOf({}).hasResponseBody).toBe(false);
  expect(contextOf({ responseDone: () => undefined }).hasResponseBody).toBe(true);
  expect(contextOf({ responseBody: () => undefined, ignoresResponseBody: true }).hasResponseBody).toBe(false);
  expect(contextOf({}).hasRequestBody).toBe(false);
  expect(contextOf({ requestBody: () => undefined }).hasRequestBody).toBe(true);
});

test("tells whether a module may refuse the end of a request", () => {
  expect(contextOf({ requestHeader: () => undefined, responseBody: () => undefined }).mayRefuseRequestEnd).toBe(false);
  expect(contextOf({}, { requestBody: () => undefined }).mayRefuseRequestEnd).toBe(true);
  expect(contextOf({}, { requestTrailers: () => undefined }).mayRefuseRequestEnd).toBe(true);
  const later = new HttpModules().add({ type: Other, onDemand: true, init: () => new Other() }).open(request);
  expect(later.mayRefuseRequestEnd).toBe(true);
  later.get(Other);
  expect(later.mayRefuseRequestEnd).toBe(false);
});
