import type { OutgoingHttpHeaders } from "node:http2";
import { expect, test } from "vitest";
import { respond, RESPOND_END } from "./server-response.ts";

// Last in its process: the module remembers what Node takes.
test("a Node that takes no lists is given objects, from then on", () => {
  const given: unknown[] = [];
  const stream = {
    respond(head?: OutgoingHttpHeaders | readonly string[]): void {
      given.push(head);
      if (Array.isArray(head)) throw Object.assign(new TypeError("headers"), { code: "ERR_INVALID_ARG_TYPE" });
    },
  };
  const list = [":status", "200", "X-A", "1", "x-b", "2", "x-a", "3", "x-a", "4"];
  const object = { ":status": "200", "x-a": ["1", "3", "4"], "x-b": "2" };
  respond(stream, list, RESPOND_END);
  respond(stream, list, RESPOND_END);
  expect(given.map((head) => (Array.isArray(head) ? head : { ...(head as object) }))).toEqual([list, object, object]);
});
