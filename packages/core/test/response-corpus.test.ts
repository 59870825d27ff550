import { beforeAll, describe, expect, test } from "vitest";
import { configureLogs } from "../src/log/logger.ts";
import { bytesOf, forEachWay, readCorpus, type CorpusCase } from "./corpus.ts";
import { call, pairs, type Pairs, type SeenResponse } from "./harness.ts";

interface Accepted {
  accepted: {
    status: number;
    reason: string;
    version: string;
    fields: Pairs;
    body: string;
    trailers?: Pairs;
    informational?: number[];
  };
}
interface Refused {
  refused: { type: string; reason: string };
}

type ResponseCase = CorpusCase &
  (Accepted | Refused) & {
    /** Of the request. Default GET. */
    method?: string;
    /** The origin ends the connection behind the bytes. */
    fin?: boolean;
    /** Whether the connection may serve another request. */
    reusable?: boolean;
  };

function outcome(seen: SeenResponse): Accepted | Refused | "incomplete" {
  const { error, header, body, trailers, informational } = seen;
  if (error !== undefined) return { refused: { type: error.type, reason: error.message } };
  if (!seen.ended || header === undefined) return "incomplete";
  const { status, reason, version } = header;
  const accepted: Accepted["accepted"] = { status, reason, version, fields: pairs(header), body };
  if (trailers !== undefined) accepted.trailers = trailers;
  if (informational.length > 0) accepted.informational = informational;
  return { accepted };
}

function expected(given: Accepted | Refused): Accepted | Refused {
  if ("accepted" in given) return { accepted: given.accepted };
  const reason = expect.stringContaining(given.refused.reason) as string;
  return { refused: { type: given.refused.type, reason } };
}

const cases = readCorpus<ResponseCase>("responses.json");

beforeAll(() => configureLogs({ levels: "silent" }));

test("the corpus names every case once", () => {
  expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length);
});

describe("a response is read the same, however it is cut", () => {
  test.for(cases)("$name (RFC $rfc)", async (given) => {
    const wanted = expected(given);
    await forEachWay(bytesOf(given.raw), async (pieces, label) => {
      const called = call({}, given.limits);
      const seen = called.request(given.method);
      for (const piece of pieces) await called.send(piece);
      if (given.fin) called.origin.end();
      await called.pair.flush();
      expect(outcome(seen), label).toEqual(wanted);
      const last = "accepted" in given ? "end" : "error";
      expect(
        seen.order.filter((event) => event === "end" || event === "error"),
        label,
      ).toEqual([last]);
      if ("refused" in given) {
        expect(seen.error!.source, label).toBe("upstream");
        expect(called.pair.local.destroyed, `${label}: a connection in disorder is closed`).toBe(true);
      } else {
        called.connection.release();
        expect(called.stored.length === 1, `${label}: whether the connection may be used again`).toBe(given.reusable);
      }
      called.connection.destroy();
    });
  });
});
