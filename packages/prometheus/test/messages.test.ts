import { balancerChannels, type LoadBalancer } from "@sluice/load-balancing";
import type {
  BackendCheckedMessage,
  BalancerRetiredMessage,
  BalancerUpdatedMessage,
  BalancerUpdateFailedMessage,
} from "@sluice/load-balancing";
import { proxyChannels } from "@sluice/proxy";
import type { AttemptFailedMessage, HookErrorMessage, RequestEndMessage, RequestStartMessage } from "@sluice/proxy";
import { expect, expectTypeOf, test } from "vitest";
import type {
  AttemptFailed,
  BackendChecked,
  BalancerMessage,
  BalancerStatus,
  HookError,
  RequestEnd,
  RequestStart,
} from "../src/messages.ts";

test("what is read of the messages of other packages is in them", () => {
  expectTypeOf<RequestStartMessage>().toExtend<RequestStart>();
  expectTypeOf<RequestEndMessage>().toExtend<RequestEnd>();
  expectTypeOf<AttemptFailedMessage>().toExtend<AttemptFailed>();
  expectTypeOf<HookErrorMessage>().toExtend<HookError>();
  expectTypeOf<BackendCheckedMessage>().toExtend<BackendChecked>();
  expectTypeOf<BalancerUpdatedMessage>().toExtend<BalancerMessage>();
  expectTypeOf<BalancerRetiredMessage>().toExtend<BalancerMessage>();
  expectTypeOf<BalancerUpdateFailedMessage>().toExtend<BalancerMessage>();
  expectTypeOf<LoadBalancer>().toExtend<BalancerStatus>();
  // By these names, which are a promise.
  expect([proxyChannels.requestEnd.name, balancerChannels.checked.name]).toEqual([
    "sluice:proxy:request-end",
    "sluice:balancer:checked",
  ]);
});
