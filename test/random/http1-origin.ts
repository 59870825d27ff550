import { readBody, readHead } from "../../packages/proxy/test/support/message.ts";
import type { OriginConnection, OriginScript } from "../../packages/proxy/test/support/origin.ts";
import { responseBytes, sendCut } from "./http1-messages.ts";
import { originBody } from "./plan.ts";
import { random } from "./random.ts";
import type { World } from "./world.ts";

/** What an origin of HTTP/1 does on a connection. */
export function http1Origin(world: World): OriginScript {
  return async (connection) => {
    while (await exchange(world, connection));
  };
}

/** Gives whether the connection goes on. */
async function exchange(world: World, connection: OriginConnection): Promise<boolean> {
  const head = await readHead(connection);
  const planned = world.planOfTarget(head.startLine.split(" ")[1]!);
  const { early, endsBehind, expects, isCut, losesHead, method, response, seed } = planned;
  const below = random(seed + 1);
  world.taken(planned);
  const readAll = async (): Promise<void> => {
    const message = await readBody(connection, head, false);
    world.checkRequest(planned, message, message.field("transfer-encoding") !== undefined);
  };
  if (expects && head.field("expect") !== undefined) connection.send("HTTP/1.1 100 Continue\r\n\r\n");
  if (!early) await readAll();
  if (losesHead) {
    if (below(2) === 0) connection.end();
    else connection.reset();
    return false;
  }
  const bytes = responseBytes(planned);
  const part = isCut
    ? bytes.subarray(0, bytes.length - 1 - below(Math.min(originBody(planned).length, 40_000)))
    : bytes;
  await sendCut(connection, part, below);
  const untilClose = response.framing === "until-close" && method !== "HEAD";
  if (isCut || untilClose) {
    connection.end();
    return false;
  }
  if (early) await readAll();
  if (endsBehind) connection.end();
  return !endsBehind;
}
