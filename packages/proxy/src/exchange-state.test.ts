import { expect, test } from "vitest";
import { finished, isDone, upgraded, type RequestState } from "./exchange-state.ts";

test("a request is read to its end, and is done then", () => {
  expect(isDone("reading")).toBe(false);
  expect(finished("reading")).toBe("finished");
  expect(isDone("finished")).toBe(true);
  expect(finished("finished")).toBe("finished");
});

test("a change of protocol behind the body opens the request again, until its second end", () => {
  const state = upgraded(finished("reading"));
  expect(isDone(state)).toBe(false);
  expect(finished(state)).toBe("finished");
});

test("a change of protocol in the middle of the body leaves two ends to come", () => {
  const state = upgraded("reading");
  expect(isDone(state)).toBe(false);
  expect(isDone(finished(state))).toBe(false);
  expect(isDone(finished(finished(state)))).toBe(true);
});

test.each<[string, (state: RequestState) => RequestState]>([
  ["an end", finished],
  ["a change of protocol", upgraded],
])("a client that is lost stays lost through %s", (_what, change) => {
  expect(change("errored")).toBe("errored");
  expect(isDone("errored")).toBe(true);
});
