import { Agent, request as httpRequest } from "node:http";
import { buffer } from "node:stream/consumers";
import { ECHO_PATH } from "./origin.ts";
import { chunksOf, type Exchange, type Request, type Workload } from "./workload.ts";

/** What is wrong with a proxy's answers; empty when all is well. All requests go over one keep-alive connection. */
export async function findFaults(port: number, { checks }: Workload, hooks: boolean): Promise<string[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    const faults: string[] = [];
    for (const { request, answer } of checks) {
      const found = answerFaults(await send(agent, port, request), answer, hooks);
      faults.push(...found.map((fault) => `${request.path}: ${fault}`));
    }
    if (hooks) faults.push(...echoFaults(await send(agent, port, { method: "GET", path: ECHO_PATH, fields: [] })));
    return faults;
  } catch (error) {
    return [`no answer: ${(error as Error).message}`];
  } finally {
    agent.destroy();
  }
}

/** A whole response. */
export interface Answer {
  readonly status: number;
  /** Values by name in lower case. */
  readonly headers: NodeJS.Dict<string[]>;
  readonly content: Buffer;
}

/** Compares an answer with what the origin gave. With `hooks`, the response hook's mark must be there, too. */
export function answerFaults(answer: Answer, expected: Exchange["answer"], hooks: boolean): string[] {
  const faults: string[] = [];
  if (answer.status !== 200) faults.push(`status ${answer.status}`);
  if (!answer.content.equals(expected.content))
    faults.push(`a wrong body of ${answer.content.length} bytes in place of ${expected.content.length}`);
  for (const [name, value] of expected.fields) {
    const values = answer.headers[name.toLowerCase()] ?? [];
    if (values.length !== 1 || values[0] !== value)
      faults.push(`${name} is ${JSON.stringify(values)} in place of ${JSON.stringify([value])}`);
  }
  if (hooks && answer.headers["x-proxied"]?.join() !== "1")
    faults.push("no x-proxied: the response filter did not run");
  return faults;
}

function echoFaults(answer: Answer): string[] {
  return answer.content.toString() === "1" ? [] : ["no x-bench at the origin: the upstream request filter did not run"];
}

function send(agent: Agent, port: number, { method, path, fields, chunkedBody }: Request): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = Object.fromEntries(fields);
    const request = httpRequest({ agent, host: "127.0.0.1", port, method, path, headers, timeout: 5_000 });
    request.once("response", (response) => {
      buffer(response).then(
        (content) => resolve({ status: response.statusCode ?? 0, headers: response.headersDistinct, content }),
        reject,
      );
    });
    request.once("timeout", () => request.destroy(new Error("nothing for 5 s")));
    request.once("error", reject);
    for (const chunk of chunkedBody ? chunksOf(chunkedBody) : []) request.write(chunk);
    request.end();
  });
}
