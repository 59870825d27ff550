import { RequestHeader, ResponseHeader } from "@sluice/http";
import { describe, expect, test } from "vitest";
import { isPromise, type Awaitable } from "./awaitable.ts";
import type { HttpModule, HttpModuleBuilder, HttpModuleExchange } from "./http-module.ts";
import { HttpModules } from "./http-modules.ts";

const request = RequestHeader.build("GET", "/", { Host: "example.org" });

/** A module class of its own at each call, with the given hooks. */
function builderOf(hooks: HttpModule, order?: number): HttpModuleBuilder {
  class Made implements HttpModule {
    close(): void {
      hooks.close?.();
    }
  }
  return { type: Made, init: () => Object.assign(new Made(), hooks), ...(order !== undefined && { order }) };
}

class Other implements HttpModule {
  closed = false;
  close(): void {
    this.closed = true;
  }
}

/** What was given at once; a promise is a failure. */
function now<T>(given: Awaitable<T>): T {
  if (isPromise(given)) throw new Error("a promise was given where no module waits");
  return given;
}

describe("registry", () => {
  class Low implements HttpModule {
    requestHeader(head: RequestHeader): void {
      if (head.has("my-filter")) head.set("my-filter", "2");
      else head.set("low-was-first", "yes");
    }
  }
  class High implements HttpModule {
    requestHeader(head: RequestHeader): void {
      if (!head.has("my-filter")) head.set("my-filter", "1");
    }
    responseHeader(head: ResponseHeader): void {
      head.append("order", "high");
    }
  }
  const low = { type: Low, order: -1, init: () => new Low() };
  const high = { type: High, order: 1, init: () => new High() };

  test("a higher order runs first, however they were added", () => {
    const modules = new HttpModules().add(low).add(high);
    const head = request.clone();
    now(modules.start(head)!.requestHeader());
    expect(head.get("my-filter")).toBe("2");
    expect(head.has("low-was-first")).toBe(false);
    expect(modules.types).toEqual([High, Low]);
  });

  test("get finds what is registered and nothing else", () => {
    const context = new HttpModules().add(low).add(high).start(request)!;
    expect(context.get(Low)).toBeInstanceOf(Low);
    expect(context.get(High)).toBe(context.get(High));
    expect(context.get(Other)).toBeUndefined();
  });

  test("equal orders keep the order of adding", () => {
    const all = [3, 0, 1, 0, 3].map((order) => builderOf({}, order));
    const modules = new HttpModules();
    for (const builder of all) modules.add(builder);
    expect(modules.types).toEqual([0, 4, 2, 1, 3].map((at) => all[at]!.type));
  });

  test("the order is the same for requests and responses", () => {
    const seen: string[] = [];
    const mark = (name: string): HttpModule => ({
      requestHeader: () => void seen.push(`${name} request`),
      responseHeader: () => void seen.push(`${name} response`),
    });
    const modules = new HttpModules().add(builderOf(mark("b"), -5)).add(builderOf(mark("a"), 5));
    const context = modules.start(request)!;
    now(context.requestHeader());
    now(context.responseHeader(ResponseHeader.build(200), false));
    expect(seen).toEqual(["a request", "b request", "a response", "b response"]);
  });

  test("refuses a class twice", () => {
    const modules = new HttpModules().add(low);
    expect(() => modules.add({ type: Low, init: () => new Low() })).toThrow(
      new TypeError("HttpModules.add: Low is registered already; a request has one module of a class"),
    );
  });

  test.each([
    ["freeze", (modules: HttpModules) => modules.freeze()],
    ["start", (modules: HttpModules) => modules.start(request)],
    ["open", (modules: HttpModules) => modules.open(request)],
  ])("refuses more after %s", (_, use) => {
    const modules = new HttpModules().add(low);
    use(modules);
    expect(() => modules.add(high)).toThrow("High comes too late; modules are added before the service starts");
  });

  test.each([
    ["an order beyond 16 bits", { ...low, order: 32_768 }, RangeError, "from -32768 to 32767, got 32768"],
    ["an order that is no integer", { ...low, order: 0.5 }, RangeError, "Low: order: expected an integer"],
    ["an unknown option", { ...low, ordre: 1 }, TypeError, "unknown option ordre; did you mean order?"],
    ["a type that is no class", { ...low, type: "Low" as never }, TypeError, "type: expected a class, got string"],
    ["no init", { type: Low } as never, TypeError, "Low: init: expected a function, got undefined"],
    ["no builder", undefined as never, TypeError, "expected a builder, an object with type and init, got undefined"],
  ])("refuses %s", (_, builder, type, message) => {
    const add = (): unknown => new HttpModules().add(builder);
    expect(add).toThrow(type);
    expect(add).toThrow(message);
  });

  test("costs nothing without a module, or with such as wait for demand", () => {
    expect(new HttpModules().start(request)).toBeUndefined();
    let made = 0;
    const modules = new HttpModules().add({ type: Other, onDemand: true, init: () => (made++, new Other()) });
    expect(modules.start(request)).toBeUndefined();
    expect(modules.open(request).get(Other)).toBeInstanceOf(Other);
    expect(made).toBe(1);
  });

  test("a module made on demand has the hooks from then on", () => {
    const seen: string[] = [];
    class Late implements HttpModule {
      readonly begun: boolean;
      constructor(exchange: HttpModuleExchange) {
        this.begun = exchange.responseBegun;
      }
      requestHeader(): void {
        seen.push("request");
      }
      responseHeader(): void {
        seen.push("response");
      }
    }
    const late = { type: Late, onDemand: true, init: (exchange: HttpModuleExchange) => new Late(exchange) };
    const context = new HttpModules().add(late).open(request);
    now(context.requestHeader());
    expect(context.get(Late)!.begun).toBe(false);
    now(context.responseHeader(ResponseHeader.build(200), true));
    expect(seen).toEqual(["response"]);

    const after = new HttpModules().add(late).open(request);
    now(after.responseHeader(ResponseHeader.build(103), false));
    expect(after.responseBegun).toBe(false);
    now(after.responseHeader(ResponseHeader.build(200), true));
    expect(after.get(Late)!.begun).toBe(true);
  });

  test("an init that fails, or gives something else, names the module and closes those that were made", () => {
    let closed = 0;
    const first = builderOf({ close: () => void closed++ }, 1);
    const throws = {
      type: Low,
      init: () => {
        throw new Error("no memory");
      },
    };
    expect(() => new HttpModules().add(first).add(throws).start(request)).toThrow(
      "Internal InternalError context: module Low, init cause: no memory",
    );
    expect(closed).toBe(1);
    const wrong = { type: Low, init: () => Promise.resolve(new Low()) as never };
    expect(() => new HttpModules().add(wrong).start(request)).toThrow("init must make an object of the class Low");
  });
});
