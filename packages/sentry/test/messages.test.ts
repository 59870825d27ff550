import { handoverChannel, type HandoverMessage } from "@sluice/core";
import { proxyChannels, type HookErrorMessage, type RequestEndMessage, type Session } from "@sluice/proxy";
import { expect, expectTypeOf, test } from "vitest";
import type { Handover, HookError, RequestEnd, RequestSession } from "../src/messages.ts";

test("what is read of the messages of other packages is in them", () => {
  expectTypeOf<Session>().toExtend<RequestSession>();
  expectTypeOf<RequestEndMessage>().toExtend<RequestEnd>();
  expectTypeOf<HookErrorMessage>().toExtend<HookError>();
  expectTypeOf<HandoverMessage>().toExtend<Handover>();
  // By these names, which are a promise.
  expect([handoverChannel.name, proxyChannels.requestEnd.name, proxyChannels.hookError.name]).toEqual([
    "sluice:server:handover",
    "sluice:proxy:request-end",
    "sluice:proxy:hook-error",
  ]);
});
