import type { HttpModule } from "@sluice/core";
import { pipeSubrequest, presetBody, type PreparedSubrequest, type Session } from "@sluice/proxy";
import { describe, expect, test } from "vitest";
import { OK } from "../support/origin.ts";
import { get } from "../support/proxy.ts";
import { ended, echoing, failing, piping, post, spawning } from "../support/subrequests.ts";
import { overLegs } from "../support/over-legs.ts";

overLegs(({ leg, answering, startProxy, peerOf }) => {
  describe("on the request itself", () => {
    /** Marks what passes, for requests of clients only. */
    class Marks implements HttpModule {
      readonly #isMain: boolean;

      constructor(isMain: boolean) {
        this.#isMain = isMain;
      }

      responseHeader(response: { set(name: string, value: string): unknown; remove(name: string): unknown }): void {
        if (this.#isMain) response.set("X-Module", "seen");
        response.remove("Content-Length");
      }

      async requestBody(piece: Uint8Array | undefined): Promise<Uint8Array | undefined> {
        return this.#isMain && piece !== undefined ? Buffer.from(piece.toString().toUpperCase()) : undefined;
      }

      async responseBody(piece: Uint8Array | undefined, end: boolean): Promise<Uint8Array | undefined> {
        if (!this.#isMain) return undefined;
        return end ? Buffer.from(".") : Buffer.concat([Buffer.from("<"), piece!, Buffer.from(">")]);
      }
    }

    test.each([
      ["the client's", undefined, "<ABC>."],
      ["a preset", presetBody("abc"), "<abc>."],
    ])("modules see %s body and the answer, and no other hook does", async (_, input, expected) => {
      await using origin = await echoing(leg);
      const hooks: string[] = [];
      const note = (hook: string, { request }: Session): void => void hooks.push(`${hook} ${request.target}`);
      await using proxy = await startProxy({
        ...piping(origin, { body: "expect" }, input === undefined ? {} : { input }),
        initDownstreamModules(modules) {
          modules.add({ type: Marks, init: ({ request }) => new Marks(request.target === "/main") });
        },
        requestBodyFilter: (session) => note("requestBodyFilter", session),
        upstreamPeer(session) {
          note("upstreamPeer", session);
          return peerOf(origin.address);
        },
        responseFilter: (session) => note("responseFilter", session),
        responseBodyFilter: (session) => note("responseBodyFilter", session),
      });
      const client = await proxy.send(...post("abc"));
      const { field, body } = await client.message();
      expect([field("x-module"), body.toString()]).toEqual(["seen", expected]);
      expect(new Set(hooks.map((hook) => hook.split(" ")[1]))).toEqual(new Set(["/sub"]));
      await ended(proxy);
    });

    test("a module that fails fails the pipe", async () => {
      await using origin = await echoing(leg);
      class Breaks extends Marks {
        override requestBody(): Promise<undefined> {
          return Promise.reject(new Error("oops"));
        }
      }
      const { app, failed } = failing(origin, "expect");
      await using proxy = await startProxy({
        ...app,
        initDownstreamModules(modules) {
          modules.add({ type: Breaks, init: ({ request }) => new Breaks(request.target === "/main") });
        },
      });
      const client = await proxy.send(...post("abc"));
      expect((await client.message()).status).toBe(500);
      expect(await failed).toMatchObject({ type: "InternalError", fromSubrequest: false });
      await ended(proxy);
    });
  });

  describe("misuse", () => {
    type Use = (session: Session, prepared: PreparedSubrequest) => Promise<unknown>;

    test.each<[string, Use, string]>([
      [
        "after an answer",
        (session, prepared) => (session.respond(204), pipeSubrequest(session, prepared)),
        "the request was answered before",
      ],
      [
        "of one that was run",
        (session, prepared) => (void prepared.run(), pipeSubrequest(session, prepared)),
        "the subrequest was run before",
      ],
      [
        "beside another",
        (session, prepared) => {
          void pipeSubrequest(session, session.subrequests!.create());
          return pipeSubrequest(session, prepared);
        },
        "the request is being read by somebody else",
      ],
      [
        "of a body into one that expects none",
        (session, prepared) => pipeSubrequest(session, prepared, { input: presetBody("abc") }),
        'its body was created as "none"',
      ],
      [
        "with an option that is none",
        (session, prepared) => pipeSubrequest(session, prepared, { filtre: undefined } as never),
        "unknown option filtre; did you mean filter?",
      ],
    ])("a pipe %s is refused", async (_, use, message) => {
      await using origin = await answering(OK);
      let thrown: unknown;
      await using proxy = await startProxy(
        spawning(origin, async (session) => {
          thrown = await use(session, session.subrequests!.create()).catch((error: unknown) => error);
          if (session.response === undefined) session.respond(204);
        }),
      );
      const client = await proxy.send(get());
      await client.message();
      expect(String(thrown)).toMatch(message);
    });

    test("a pipe where no answer can be given is refused", async () => {
      await using origin = await answering(OK);
      await using proxy = await startProxy({
        allowSpawningSubrequest: () => true,
        async upstreamPeer(session) {
          if (!session.isSubrequest) await pipeSubrequest(session, session.subrequests!.create());
          return peerOf(origin.address);
        },
      });
      const client = await proxy.send(get());
      expect((await client.message()).status).toBe(500);
      expect(proxy.errors[0]!["error"]).toMatch("pipeSubrequest in upstreamPeer: a request is answered in");
    });

    test("a client's body that was read before cannot be read again", async () => {
      await using origin = await echoing(leg);
      const thrown: unknown[] = [];
      await using proxy = await startProxy(
        spawning(origin, async (session) => {
          const create = { body: "expect" } as const;
          await pipeSubrequest(session, session.subrequests!.create(create), { filter: () => undefined });
          await pipeSubrequest(session, session.subrequests!.create(create)).catch((error: unknown) =>
            thrown.push(error),
          );
          return session.respond(204);
        }),
      );
      const client = await proxy.send(...post("abc"));
      expect((await client.message()).status).toBe(204);
      expect(String(thrown[0])).toMatch("the client's body was read before");
    });
  });
});
