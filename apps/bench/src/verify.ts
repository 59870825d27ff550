import { openClient, type Answer, type ClientOptions } from "./client.ts";
import { ECHO_PATH } from "./origin.ts";
import type { Exchange, Workload } from "./workload.ts";

/** What is wrong with a proxy's answers; empty when all is well. All requests go over one connection. */
export async function findFaults(options: ClientOptions, { checks }: Workload, hooks: boolean): Promise<string[]> {
  try {
    using client = openClient(options);
    const faults: string[] = [];
    for (const { request, answer } of checks) {
      const found = answerFaults(await client.send(request), answer, hooks);
      faults.push(...found.map((fault) => `${request.path}: ${fault}`));
    }
    if (hooks) faults.push(...echoFaults(await client.send({ method: "GET", path: ECHO_PATH, fields: [] })));
    return faults;
  } catch (error) {
    return [`no answer: ${(error as Error).message}`];
  }
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
