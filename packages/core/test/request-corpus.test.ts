import { beforeAll, describe, expect, test } from "vitest";
import { configureLogs } from "../src/log/logger.ts";
import { bytesOf, forEachWay, readCorpus, type CorpusCase } from "./corpus.ts";
import { pairs, serve, type Pairs, type SeenRequest } from "./harness.ts";

interface Accepted {
  accepted: { method: string; target: string; version: string; fields: Pairs; body: string; trailers?: Pairs };
}
interface Refused {
  refused: { status: number; reason: string };
}

/** One request, or several behind each other, or not even one. */
type RequestCase = CorpusCase &
  (Accepted | Refused | { incomplete: true }) & {
    /** Whether the connection stays open at the end. */
    keepAlive?: boolean;
    then?: (Accepted | Refused)[];
  };

function outcome({ session, body, trailers }: SeenRequest): Accepted | Refused {
  const { error, request } = session;
  if (error !== undefined) return { refused: { status: error.status ?? 400, reason: error.message } };
  const { method, target, version } = request;
  const accepted = { method, target, version, fields: pairs(request), body };
  return { accepted: trailers === undefined ? accepted : { ...accepted, trailers } };
}

function expected(given: Accepted | Refused): Accepted | Refused {
  if ("accepted" in given) return { accepted: given.accepted };
  const reason = expect.stringContaining(given.refused.reason) as string;
  return { refused: { status: given.refused.status, reason } };
}

const cases = readCorpus<RequestCase>("requests.json");

beforeAll(() => configureLogs({ levels: "silent" }));

test("the corpus names every case once", () => {
  expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length);
});

describe("a request is read the same, however it is cut", () => {
  test.for(cases)("$name (RFC $rfc)", async (given) => {
    const wanted = "incomplete" in given ? [] : [given, ...(given.then ?? [])].map(expected);
    const refused = wanted.some((each) => "refused" in each);
    await forEachWay(bytesOf(given.raw), async (pieces, label) => {
      const served = serve(undefined, given.limits);
      for (const piece of pieces) await served.send(piece);
      expect(served.requests.map(outcome), label).toEqual(wanted);
      expect(served.got.ended, `${label}: whether the connection ended`).toBe(refused || given.keepAlive === false);
      const statuses = [...served.got.text.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => Number(match[1]));
      expect(statuses, label).toEqual(wanted.map((each) => ("refused" in each ? each.refused.status : 200)));
      served.connection.destroy();
    });
  });
});
