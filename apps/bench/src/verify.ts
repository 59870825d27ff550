import { createHash } from "node:crypto";
import { Agent, get, type IncomingHttpHeaders } from "node:http";
import { buffer } from "node:stream/consumers";
import { ECHO_PATH, type Body } from "./origin.ts";

/** What is wrong with a proxy's answers; empty when all is well. Both requests go over one keep-alive connection. */
export async function findFaults(port: number, body: Body, hooks: boolean): Promise<string[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    return [
      ...bodyFaults(await fetchOnce(agent, port, body.path), body, hooks),
      ...(hooks ? echoFaults(await fetchOnce(agent, port, ECHO_PATH)) : []),
    ];
  } catch (error) {
    return [`no answer: ${(error as Error).message}`];
  } finally {
    agent.destroy();
  }
}

/** A whole response. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly content: Buffer;
}

/** Compares an answer with the file the origin served. With `hooks`, the response hook's mark must be there, too. */
export function bodyFaults(answer: Answer, body: Body, hooks: boolean): string[] {
  const faults: string[] = [];
  if (answer.status !== 200) faults.push(`status ${answer.status}`);
  const sha256 = createHash("sha256").update(answer.content).digest("hex");
  if (sha256 !== body.sha256) faults.push(`a wrong body of ${answer.content.length} bytes in place of ${body.bytes}`);
  if (hooks && answer.headers["x-proxied"] !== "1") faults.push("no x-proxied: the response filter did not run");
  return faults;
}

function echoFaults(answer: Answer): string[] {
  return answer.content.toString() === "1" ? [] : ["no x-bench at the origin: the upstream request filter did not run"];
}

function fetchOnce(agent: Agent, port: number, path: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = get({ agent, host: "127.0.0.1", port, path, timeout: 5_000 }, (response) => {
      buffer(response).then(
        (content) => resolve({ status: response.statusCode ?? 0, headers: response.headers, content }),
        reject,
      );
    });
    request.once("timeout", () => request.destroy(new Error("nothing for 5 s")));
    request.once("error", reject);
  });
}
