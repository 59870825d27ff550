import { describe, expect, test } from "vitest";
import { ERROR_DETAILS } from "./error-detail.ts";
import { ERROR_TYPES } from "./error-type.ts";
import { ProxyError, orError, toProxyError } from "./proxy-error.ts";

describe("message", () => {
  test("a source that is unset prints as nothing, before a space and the type", () => {
    const inner = new ProxyError("InternalError");
    expect(new ProxyError("HTTPStatus", { status: 400, cause: inner }).message).toBe(
      " HTTPStatus cause:  InternalError",
    );
  });

  test("context stands between type and cause", () => {
    const error = ProxyError.httpStatus(400, "test", new ProxyError("InternalError"));
    expect(error.message).toBe(" HTTPStatus context: test cause:  InternalError");
  });

  test("a context set later shows", () => {
    expect(new ProxyError("InternalError").setContext("my context").message).toBe(" InternalError context: my context");
  });

  test("source and type are not repeated down the chain", () => {
    expect(new ProxyError("InternalError").moreContext("another").message).toBe(
      " InternalError context: another cause: ",
    );
  });

  test("a foreign cause shows its own message", () => {
    const error = new ProxyError("InternalError", { context: "", cause: new Error("oops") });
    expect(error.message).toBe(" InternalError context:  cause: oops");
  });

  test("names the source, and the text of toString and of the stack's reader is the same", () => {
    const error = ProxyError.upstream("ConnectRefused", "10.0.0.1:80", new Error("connect ECONNREFUSED"));
    expect(error.message).toBe("Upstream ConnectRefused context: 10.0.0.1:80 cause: connect ECONNREFUSED");
    expect(String(error)).toBe(error.message);
    expect(error).toBeInstanceOf(Error);
  });
});

describe("what cannot be", () => {
  test.each([0, 99, 1000, 403.5, Number.NaN, "403" as never])("status %s is refused", (status) => {
    const message = `ProxyError: status: expected an integer from 100 to 999, got ${String(status)}`;
    expect(() => new ProxyError("HTTPStatus", { status })).toThrow(new RangeError(message));
    expect(() => ProxyError.httpStatus(status)).toThrow(new RangeError(message));
  });

  test("no error can be made a cause of itself", () => {
    const inner = new ProxyError("ReadError");
    const outer = new ProxyError("H2Error", { cause: inner });
    for (const cause of [inner, outer]) {
      expect(() => inner.setCause(cause)).toThrow("an error cannot be a cause of itself");
    }
    expect(inner.cause).toBeUndefined();
    expect(outer.setCause(new Error("x")).message).toBe(" H2Error cause: x");
  });
});

describe("a foreign cause that cannot be read", () => {
  const unreadable = (name: "message" | "stack", value: unknown): Error =>
    Object.defineProperty(new Error("x"), name, {
      get() {
        if (value === undefined) throw new Error("in a getter");
        return value;
      },
    });

  test.each([
    [unreadable("message", undefined), "(something that cannot be shown)"],
    [unreadable("message", Symbol("odd")), "Symbol(odd)"],
    [Object.create(null), "(something that cannot be shown)"],
  ])("is a cause all the same", (cause, text) => {
    expect(new ProxyError("InternalError", { cause }).message).toBe(` InternalError cause: ${text}`);
  });

  test("has no stack", () => {
    for (const value of [undefined, 5]) {
      const error = new ProxyError("InternalError", { cause: unreadable("stack", value) });
      expect(error.causeStack()).toBeUndefined();
    }
    expect(new ProxyError("InternalError", { cause: "text" }).causeStack()).toBeUndefined();
    const cause = new Error("x");
    expect(new ProxyError("InternalError", { cause }).moreContext("y").causeStack()).toBe(cause.stack);
  });
});

describe("retry", () => {
  test("is inherited from a cause of ours, not from a foreign one", () => {
    const inner = new ProxyError("ReadError", { retry: "reusedOnly" });
    expect(new ProxyError("H2Error", { cause: inner }).retry).toBe("reusedOnly");
    expect(new ProxyError("H2Error", { cause: new Error("x") }).retry).toBe(false);
  });

  test("the source is not inherited", () => {
    expect(new ProxyError("H2Error", { cause: ProxyError.upstream("ReadError") }).source).toBe("unset");
  });

  test.each([
    ["reusedOnly", true, true],
    ["reusedOnly", false, false],
    [true, false, true],
    [false, true, false],
  ] as const)("%s on a connection with reused=%s ends as %s", (retry, reused, expected) => {
    expect(new ProxyError("ReadError", { retry }).decideReuse(reused).shouldRetry()).toBe(expected);
  });

  test("undecided counts as no", () => {
    expect(new ProxyError("ReadError", { retry: "reusedOnly" }).shouldRetry()).toBe(false);
  });

  test("setCause leaves it alone; moreContext keeps type, detail, source, retry and status", () => {
    const error = ProxyError.httpStatus(404).setSource("internal").setRetry(true).setDetail("too-large");
    error.setCause(new ProxyError("ReadError", { retry: "reusedOnly" }));
    expect(error.retry).toBe(true);
    expect(error.moreContext("more")).toMatchObject({
      type: "HTTPStatus",
      detail: "too-large",
      source: "internal",
      retry: true,
      status: 404,
    });
  });
});

test("the root of a chain is the innermost type and cause", () => {
  const foreign = new Error("disk");
  const error = new ProxyError("HTTPStatus", { cause: new ProxyError("ReadError", { cause: foreign }) });
  expect(error.rootType()).toBe("ReadError");
  expect(error.rootCause()).toBe(foreign);
});

test("the root error has the details of what happened, whatever stands around it", () => {
  const root = new ProxyError("ConnectError", { detail: "name-lookup" });
  const around = ProxyError.httpStatus(503, "sorry", root.moreContext("a").moreContext("b"));
  expect([around.rootError(), around.detail, root.rootError()]).toEqual([root, undefined, root]);
});

test("httpStatus refuses what is no status", () => {
  for (const status of [0, 99, 1000, 200.5, Number.NaN]) {
    expect(() => ProxyError.httpStatus(status)).toThrow(/100 to 999/);
  }
});

test("toProxyError keeps ours and wraps the rest", () => {
  const ours = new ProxyError("ReadError");
  expect(toProxyError(ours)).toBe(ours);
  expect(toProxyError("text", "in a hook").message).toBe("Internal InternalError context: in a hook cause: text");
});

test("orError passes a value and throws for none", () => {
  expect(orError(0, "NoPeer", "unused")).toBe(0);
  expect(() => orError(undefined, "NoPeer", "nothing there")).toThrow(" NoPeer context: nothing there");
});

test("every known type and every detail has a meaning, in ASCII: Proxy-Status shows those of types", () => {
  for (const meaning of [...Object.values(ERROR_TYPES), ...Object.values(ERROR_DETAILS)]) {
    expect(meaning).toMatch(/^[ -~]+$/);
  }
});
