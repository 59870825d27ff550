import { HeaderFields } from "@sluice/http";
import { expect, test } from "vitest";
import { removeHopByHop } from "./hop-by-hop.ts";

function left(...raw: string[]): string[] {
  const fields = new HeaderFields(raw);
  removeHopByHop(fields);
  return fields.raw;
}

test.for(["Connection", "Keep-Alive", "Proxy-Connection", "TE", "Transfer-Encoding", "Upgrade"])(
  "%s goes, in any spelling",
  (name) => {
    for (const spelling of [name, name.toLowerCase(), name.toUpperCase()]) {
      expect(left("A", "1", spelling, "x", "B", "2", spelling, "y")).toEqual(["A", "1", "B", "2"]);
    }
  },
);

test.for(["Trailer", "Via", "Host", "Content-Length", "Proxy-Authorization", "Sec-WebSocket-Key", "TF", "Upgrades"])(
  "%s stays",
  (name) => {
    expect(left(name, "x")).toEqual([name, "x"]);
  },
);

test("what Connection names goes too, wherever it stands", () => {
  expect(left("X-A", "1", "Connection", "x-a, X-B", "x-b", "2", "X-C", "3", "X-A", "4")).toEqual(["X-C", "3"]);
});

test("Connection may stand on several lines", () => {
  expect(left("Connection", "close", "X-A", "1", "connection", "x-a", "X-B", "2")).toEqual(["X-B", "2"]);
});

test("odd lists name what they name", () => {
  expect(left("Connection", " , ,x-a\t,,", "X-A", "1")).toEqual([]);
  expect(left("Connection", "", "X-A", "1")).toEqual(["X-A", "1"]);
  expect(left("Connection", "x-a;q=1", "X-A", "1")).toEqual(["X-A", "1"]);
  expect(left("Connection", "x-a\u00a0", "X-A", "1")).toEqual(["X-A", "1"]);
});

test.for(["Host", "Content-Length", "Content-Type", "Cache-Control", "Authorization", "Cookie", "Date", "Age"])(
  "a client cannot take %s away by naming it",
  (name) => {
    expect(left("Connection", `close, ${name.toLowerCase()}`, name, "x")).toEqual([name, "x"]);
  },
);

test("nothing to remove leaves the fields as they are", () => {
  expect(left("A", "1", "a", "2")).toEqual(["A", "1", "a", "2"]);
  expect(left()).toEqual([]);
});
