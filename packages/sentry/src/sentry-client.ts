import { request as requestHttp, Agent as HttpAgent, type ClientRequest, type IncomingMessage } from "node:http";
import { request as requestHttps, Agent as HttpsAgent, type RequestOptions } from "node:https";
import {
  contextLinesIntegration,
  defaultStackParser,
  linkedErrorsIntegration,
  makeNodeTransport,
  NodeClient,
  type ErrorEvent,
  type EventHint,
} from "@sentry/node";
import { scrub } from "./scrub.ts";
import type { ResolvedOptions } from "./sentry-options.ts";

/**
 * A client for errors alone, and for whoever holds it. `Sentry.init()` would make one for the whole process, patch modules of Node and
 * others to see their calls, and read variables; a proxy's hot path is no place for that. What is left of the default integrations
 * follows causes, and reads the lines around each place in a stack.
 * @param onLost Told of each report that was not taken: the error, or the status of the answer.
 */
export function createSentryClient(options: ResolvedOptions, onLost: (why: unknown) => void): NodeClient {
  const { dsn, environment, release, serverName, flushMs, proxy, beforeSend } = options;
  const client = new NodeClient({
    dsn,
    environment,
    ...(release !== undefined && { release }),
    ...(serverName !== undefined && { serverName }),
    stackParser: defaultStackParser,
    integrations: [],
    transport: (given) =>
      telling(
        makeNodeTransport(proxy === undefined ? { ...given, httpModule: direct(flushMs) } : { ...given, proxy }),
        onLost,
      ),
    beforeSend(event: ErrorEvent, hint: EventHint) {
      // The last before the app's own: integrations may have added to it.
      const { secrets = [] } = (hint.data ?? {}) as EventData;
      return beforeSend === undefined ? strike(event, secrets) : beforeSend(strike(event, secrets));
    },
    sendClientReports: false,
    // No spans, and no module is changed as it is loaded.
    traceLifecycle: "static",
    enableRuntimeChannelInjection: false,
    dataCollection: {
      userInfo: false,
      cookies: false,
      httpHeaders: false,
      httpBodies: [],
      urlQueryParams: false,
      graphQL: { document: false, variables: false },
      genAI: { inputs: false, outputs: false },
    },
  });
  client.addIntegration(linkedErrorsIntegration());
  client.addIntegration(contextLinesIntegration());
  return client;
}

/** What goes along with an event, and is not sent. */
export interface EventData {
  readonly secrets?: readonly string[];
}

function strike(event: ErrorEvent, secrets: readonly string[]): ErrorEvent {
  const { message, exception, extra, contexts, tags, request, fingerprint } = event;
  const told = {
    message,
    values: exception?.values?.map(({ value }) => value),
    extra,
    contexts,
    tags,
    request,
    fingerprint,
  };
  scrub(told, secrets);
  if (told.message !== undefined) event.message = told.message;
  for (const [index, value] of (exception?.values ?? []).entries()) {
    const text = told.values?.[index];
    if (text !== undefined) value.value = text;
  }
  return event;
}

type Transport = ReturnType<typeof makeNodeTransport>;

/** The same, but that somebody hears of what is lost. */
function telling(transport: Transport, onLost: (why: unknown) => void): Transport {
  const send: Transport["send"] = async (envelope) => {
    try {
      const response = await transport.send(envelope);
      if ((response.statusCode ?? 200) >= 300) onLost(`status ${response.statusCode}`);
      return response;
    } catch (error) {
      onLost(error);
      throw error;
    }
  };
  return { ...transport, send };
}

/**
 * Sends straight to where the DSN says, whatever proxy the environment names for others. A server that takes too long is given up,
 * so that it does not keep a process from ending.
 */
function direct(timeoutMs: number): NonNullable<Parameters<typeof makeNodeTransport>[0]["httpModule"]> {
  const pooling = { keepAlive: true, maxSockets: 4 };
  const [httpAgent, httpsAgent] = [new HttpAgent(pooling), new HttpsAgent(pooling)];
  return {
    request(given, callback): ClientRequest {
      const options = given as RequestOptions;
      const onResponse = callback as ((response: IncomingMessage) => void) | undefined;
      const request =
        options.protocol === "https:"
          ? requestHttps({ ...options, agent: httpsAgent }, onResponse)
          : requestHttp({ ...options, agent: httpAgent }, onResponse);
      const timer = setTimeout(() => request.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
      return request.once("close", () => clearTimeout(timer));
    },
  };
}
