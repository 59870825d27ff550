import type { SubrequestEvent } from "@sluice/core";
import {
  type PipeSubrequestError,
  pipeSubrequest,
  type PipedSubrequest,
  type PipeSubrequestOptions,
  type PreparedSubrequest,
  type ProxyError,
  type ProxyHttp,
  type Session,
  type SubrequestOptions,
} from "@sluice/proxy";
import { PLAIN, type Leg } from "../../../../test/matrix/legs.ts";
import { Origin } from "./origin.ts";
import type { Finished, TestApp, TestProxy } from "./proxy.ts";

type Filter = NonNullable<ProxyHttp<object>["requestFilter"]>;

/** An app that may spawn. `filter` runs for requests of clients only: what they spawn goes to the origin. */
export function spawning(
  origin: { readonly address: string },
  filter: (session: Session) => ReturnType<Filter>,
  more: TestApp<object> = {},
): TestApp<object> {
  return {
    origin,
    allowSpawningSubrequest: () => true,
    requestFilter: (session) => (session.isSubrequest ? undefined : filter(session)),
    ...more,
  };
}

/** What a subrequest answered. */
export interface Answer {
  readonly interim: number[];
  readonly status: number | undefined;
  readonly body: string;
  readonly trailers: readonly (readonly [string, string])[];
  /** Why the answer was cut. */
  readonly cut: ProxyError | undefined;
}

/** Runs it and reads all of its answer. */
export async function answerOf(prepared: PreparedSubrequest): Promise<Answer> {
  const interim: number[] = [];
  const pieces: Uint8Array[] = [];
  const trailers: [string, string][] = [];
  let status: number | undefined;
  let cut: ProxyError | undefined;
  const done = prepared.run();
  const take = (event: SubrequestEvent): void => {
    if (event.type === "informational") interim.push(event.header.status);
    else if (event.type === "header") ({ status } = event.header);
    else if (event.type === "data") pieces.push(event.data);
    else if (event.type === "trailers") trailers.push(...event.trailers);
  };
  try {
    for await (const event of prepared.handle) take(event);
  } catch (error) {
    cut = error as ProxyError;
  }
  await done;
  return { interim, status, body: Buffer.concat(pieces).toString("latin1"), trailers, cut };
}

/** An origin that answers with the body that it gets, and says in `X-Asked` what for. */
export function echoing(leg: Leg = PLAIN): Promise<Origin> {
  return Origin.start(async (connection) => {
    for (;;) {
      const { body, startLine } = await connection.message();
      const head = `HTTP/1.1 200 OK\r\nX-Asked: ${startLine}\r\nContent-Length: ${body.length}\r\n\r\n`;
      connection.send(head, body);
    }
  }, leg);
}

/** An app whose requests are answered by a subrequest for `/sub`. */
export function piping(
  origin: { readonly address: string },
  create: SubrequestOptions = {},
  options: PipeSubrequestOptions = {},
  more: TestApp<object> = {},
): TestApp<object> & { readonly piped: PipedSubrequest[] } {
  const piped: PipedSubrequest[] = [];
  const filter = async (session: Session): Promise<PipedSubrequest["responded"]> => {
    const result = await pipeSubrequest(session, session.subrequests!.create({ target: "/sub", ...create }), options);
    piped.push(result);
    return result.responded;
  };
  return { ...spawning(origin, filter, more), piped };
}

/** `POST /main` with this body, in two parts. */
export function post(body: string | Uint8Array, fields = ""): [head: string, body: string | Uint8Array] {
  return [`POST /main HTTP/1.1\r\nHost: test\r\n${fields}Content-Length: ${body.length}\r\n\r\n`, body];
}

/** How the two requests ended: that of the client, and its subrequest. */
export async function ended(proxy: TestProxy<object>): Promise<{ main: Finished<object>; sub: Finished<object> }> {
  await proxy.whenFinished(2);
  const of = (isSubrequest: boolean): Finished<object> =>
    proxy.finished.find(({ session }) => session.isSubrequest === isSubrequest)!;
  return { main: of(false), sub: of(true) };
}

/** What the hook got instead of an answer. */
export function failing(
  origin: { readonly address: string },
  body: "none" | "expect" = "none",
): { app: ReturnType<typeof spawning>; failed: Promise<PipeSubrequestError> } {
  const { promise, resolve } = Promise.withResolvers<PipeSubrequestError>();
  const app = spawning(origin, async (session) => {
    try {
      await pipeSubrequest(session, session.subrequests!.create({ target: "/sub", body }));
    } catch (error) {
      resolve(error as PipeSubrequestError);
      throw error;
    }
  });
  return { app, failed: promise };
}
